"""ONNX files as functions, without torch: files are checked, and engines that are missing are named."""

from pathlib import Path

import numpy as np
import pytest

from nnunetv2_ext.errors import PredictionError
from nnunetv2_ext.runtime import network as module
from nnunetv2_ext.runtime.network import ENGINES, installed_engine, load_network, sha256_of

onnx = pytest.importorskip("onnx")


@pytest.fixture
def doubling(tmp_path) -> Path:
    """A network that doubles its input."""
    shape = ["batch", 1, 2, 2]
    given, wanted = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("image", "logits"))
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["image", "image"], ["logits"])], "double", [given], [wanted])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "fold_0.onnx")
    return tmp_path / "fold_0.onnx"


@pytest.mark.parametrize("engine", ENGINES)
def test_runs_batches_of_any_size_into_arrays_of_their_own(engine, doubling):
    pytest.importorskip(engine)
    network = load_network(doubling, sha256_of(doubling.read_bytes()), engine=engine, threads=1)
    first = network(np.ones((1, 1, 2, 2), np.float32))
    second = network(np.full((3, 1, 2, 2), 2, np.float32))
    assert first.tolist() == [[[[2, 2], [2, 2]]]]
    assert second.shape == (3, 1, 2, 2)
    assert (second == 4).all()
    second += 1  # the caller's own


def test_a_file_that_was_changed_or_is_gone(doubling):
    checksum = sha256_of(doubling.read_bytes())
    doubling.write_bytes(doubling.read_bytes() + b"!")
    with pytest.raises(PredictionError, match="checksum differs: copy"):
        load_network(doubling, checksum, engine="onnxruntime", threads=1)
    with pytest.raises(PredictionError, match=r"fold_1.onnx can't be read"):
        load_network(doubling.with_name("fold_1.onnx"), checksum, engine="onnxruntime", threads=1)


def test_engines_that_are_not_installed(doubling, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(PredictionError, match=r"openvino is not installed: pip install openvino"):
        load_network(doubling, "", engine="openvino", threads=1)
    with pytest.raises(PredictionError, match="pip install onnxruntime"):
        installed_engine()
    monkeypatch.setattr(module, "find_spec", lambda name: name == "openvino" or None)
    assert installed_engine() == "openvino"
