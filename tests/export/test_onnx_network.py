"""Every network as ONNX gives the logits of the network, at any batch."""

import pytest
import torch
from torch import nn

from nnunetv2_ext.errors import ExportError
from nnunetv2_ext.export.onnx_network import export_network, largest_difference, store_in_half
from tests.plans import CONFIGURATIONS, network

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


@pytest.mark.slow  # tracing takes several seconds each
@pytest.mark.parametrize("preset", ["EGEUNet", "AxialUNet", "MCANet"])
def test_networks(preset, tmp_path):
    plan = "3d_anisotropic"
    net = network(preset, plan, channels=2, deep_supervision=False).eval()
    patch, file = CONFIGURATIONS[plan]["patch_size"], tmp_path / "fold_0.onnx"
    free_batch = export_network(net, 2, patch, file)
    assert free_batch == (preset != "AxialUNet")
    assert largest_difference(net, 2, patch, file, free_batch=free_batch) < 1e-3
    assert [path.name for path in tmp_path.iterdir()] == ["fold_0.onnx"], "the weights are inside"


def test_weights_in_half_precision(tmp_path):
    net, file = nn.Sequential(nn.Conv3d(1, 32, 3), nn.ReLU(), nn.Conv3d(32, 2, 3)).eval(), tmp_path / "fold_0.onnx"
    export_network(net, 1, (8, 8, 8), file)
    exact, size = largest_difference(net, 1, (8, 8, 8), file, free_batch=True), file.stat().st_size
    store_in_half(file)
    onnx.checker.check_model(file, full_check=True)
    assert file.stat().st_size < 0.7 * size
    rounded = nn.Sequential(nn.Conv3d(1, 32, 3), nn.ReLU(), nn.Conv3d(32, 2, 3)).eval()
    weights = net.state_dict()
    rounded.load_state_dict({key: x.half().float() if x.dim() > 1 else x for key, x in weights.items()})
    # as exact as before with the weights that are in the file, and less with those that were
    assert largest_difference(rounded, 1, (8, 8, 8), file, free_batch=True) < 2 * exact + 1e-6
    assert largest_difference(net, 1, (8, 8, 8), file, free_batch=True, half=True) > 10 * exact


def test_weights_that_half_precision_does_not_hold(tmp_path):
    net, file = nn.Conv2d(1, 2, 1).eval(), tmp_path / "fold_0.onnx"
    nn.init.constant_(net.weight, 1e5)
    export_network(net, 1, (4, 4), file)
    store_in_half(file)
    with pytest.raises(ExportError, match=r"logits of fold_0.onnx differ by up to (inf|nan)"):
        largest_difference(net, 1, (4, 4), file, free_batch=True, half=True)


def test_a_network_that_cannot_be_exported(tmp_path):
    class Decides(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ExportError, match="Decides can't be exported to ONNX"):
        export_network(Decides().eval(), 1, (4, 4), tmp_path / "fold_0.onnx")


def test_names_and_that_logits_that_differ_are_refused(tmp_path):
    exported, other = nn.Conv2d(1, 2, 1).eval(), nn.Conv2d(1, 2, 1).eval()
    assert export_network(exported, 1, (4, 4), tmp_path / "fold_0.onnx")
    (image,), (logits,) = (getattr(onnx.load(tmp_path / "fold_0.onnx").graph, which) for which in ("input", "output"))
    assert [image.name, logits.name] == ["image", "logits"]
    batches = {given.type.tensor_type.shape.dim[0].dim_param for given in (image, logits)}
    assert batches in ({"batch"}, {"s0"}), "one name for both; torch 2.6 gives its own"
    torch.manual_seed(0)
    with pytest.raises(ExportError, match=r"logits of fold_0.onnx differ by up to \d"):
        largest_difference(other, 1, (4, 4), tmp_path / "fold_0.onnx", free_batch=True)
