"""Every network as ONNX gives the logits of the network, at any batch."""

import pytest
import torch
from torch import nn

from nnunetv2_ext.errors import ExportError
from nnunetv2_ext.export.onnx_network import export_network, largest_difference
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
    assert [given.type.tensor_type.shape.dim[0].dim_param for given in (image, logits)] == ["batch", "batch"]
    torch.manual_seed(0)
    with pytest.raises(ExportError, match=r"logits of fold_0.onnx differ by up to \d"):
        largest_difference(other, 1, (4, 4), tmp_path / "fold_0.onnx", free_batch=True)
