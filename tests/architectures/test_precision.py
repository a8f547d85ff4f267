"""Types in and out of mixed precision."""

import pytest
import torch

from nnunetv2_ext.architectures.precision import at_least_single, autocast_type, restored_autocast, without_autocast

WEIGHT = torch.ones(2, 2)


@pytest.mark.parametrize(("given", "expected"), [("float16", "float32"), ("bfloat16", "float32"), ("float64", "float64")])
def test_half_precision_becomes_single_and_double_stays(given, expected) -> None:
    assert at_least_single(torch.ones(1, dtype=getattr(torch, given))).dtype == getattr(torch, expected)


def test_operations_keep_their_type_without_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert (WEIGHT @ WEIGHT).dtype == torch.bfloat16
        with without_autocast(WEIGHT.device):
            assert (WEIGHT @ WEIGHT).dtype == torch.float32
    with without_autocast(torch.device("meta")):
        pass


def test_the_type_that_autocast_would_choose() -> None:
    assert autocast_type(WEIGHT) == torch.float32
    assert autocast_type(WEIGHT.to("meta")) == torch.float32
    with torch.autocast("cpu", torch.float16):
        assert autocast_type(WEIGHT) == torch.float16
        assert autocast_type(WEIGHT.double()) == torch.float64


@pytest.mark.parametrize("enabled", [True, False])
def test_the_forward_s_autocast_comes_back_in_the_backward(enabled) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        restored = restored_autocast(WEIGHT)
    with torch.autocast("cpu", torch.bfloat16, enabled=not enabled), restored():
        assert (WEIGHT @ WEIGHT).dtype == (torch.bfloat16 if enabled else torch.float32)
