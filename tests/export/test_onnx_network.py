"""Every network as ONNX gives the logits of the network, at any batch."""

import pytest
import torch
from torch import nn

from nnunetv2_ext.errors import ExportError
from tests.plans import CONFIGURATIONS, network

pytest.importorskip("onnxscript")
from nnunetv2_ext.export.onnx_network import export_network, largest_difference


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


def test_logits_that_differ_are_refused(tmp_path):
    exported, other = nn.Conv2d(1, 2, 1).eval(), nn.Conv2d(1, 2, 1).eval()
    export_network(exported, 1, (4, 4), tmp_path / "fold_0.onnx")
    torch.manual_seed(0)
    with pytest.raises(ExportError, match=r"logits of fold_0.onnx differ by up to \d"):
        largest_difference(other, 1, (4, 4), tmp_path / "fold_0.onnx", free_batch=True)
