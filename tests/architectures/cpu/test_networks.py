"""The fast paths of a CPU give what the plain operations give."""

import sys

import pytest
import torch
from torch import Tensor, nn

from tests.plans import CONFIGURATIONS, network


@pytest.mark.parametrize("plan", CONFIGURATIONS)
@pytest.mark.parametrize("smallest", [0, 2**20])
@pytest.mark.parametrize("preset", ["EGEUNet", "EGE", "MCANet"])
def test_a_training_step_is_the_same_either_way(preset, plan, smallest, monkeypatch) -> None:
    x = torch.randn(2, 1, *CONFIGURATIONS[plan]["patch_size"], dtype=torch.float64)

    def step() -> list[Tensor]:
        net = network(preset, plan).double()
        for module in net.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.p = 0.0
        outputs = net(x)
        sum((output * torch.cos(torch.arange(output.numel())).view_as(output)).sum() for output in outputs).backward()
        return [*outputs, *(parameter.grad for parameter in net.parameters()), *net.buffers()]

    for module in ("depthwise", "pooling"):
        monkeypatch.setattr(f"nnunetv2_ext.architectures.cpu.{module}.SMALLEST_MAP", smallest)
    ours = step()
    for name, module in sys.modules.items():
        if name.startswith("nnunetv2_ext.") and hasattr(module, "is_eager_cpu"):
            monkeypatch.setattr(module, "is_eager_cpu", lambda _x: False)
    torch.testing.assert_close(ours, step(), rtol=1e-8, atol=1e-8)
