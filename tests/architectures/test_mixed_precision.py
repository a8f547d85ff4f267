"""What a training step keeps for its backward under CUDA's autocast rules."""

import pytest
import torch
from torch import Tensor

from nnunetv2_ext.memory.autocast import cuda_autocast_rules
from nnunetv2_ext.memory.gpu_paths import gpu_paths
from tests.plans import CONFIGURATIONS, network

SINGLE = 0.15
"""share of float32 in what is kept: statistics, evidence of one channel, and weights of attention"""


@pytest.mark.parametrize("plan", CONFIGURATIONS)
@pytest.mark.parametrize("preset", ["EGE", "EGEUNet", "MCANet"])
def test_feature_maps_are_kept_and_given_out_in_half_precision(preset: str, plan: str) -> None:
    kept: dict[int, Tensor] = {}
    model = network(preset, plan)
    for module in model.modules():
        if hasattr(module, "recompute"):
            module.recompute = "none"  # so that every block shows what it keeps
    persistent = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}

    def keep(x: Tensor) -> Tensor:
        if x.is_floating_point() and x.untyped_storage().data_ptr() not in persistent:
            kept[x.untyped_storage().data_ptr()] = x
        return x

    x = torch.randn(2, 1, *CONFIGURATIONS[plan]["patch_size"])
    with (
        gpu_paths(),
        cuda_autocast_rules(),
        torch.autocast("cpu", torch.float16),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x),
    ):
        outputs = model(x)
    assert {output.dtype for output in outputs} == {torch.float16}
    sizes = {dtype: sum(x.nbytes for x in kept.values() if x.dtype == dtype) for dtype in (torch.float16, torch.float32)}
    assert sizes[torch.float32] <= SINGLE * sum(sizes.values()), sizes
