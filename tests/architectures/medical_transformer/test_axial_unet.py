"""What tells AxialUNet and GatedAxialUNet apart. What they share with the others is in test_networks.py."""

import pytest
import torch

from tests.plans import CONFIGURATIONS, network


def gates(net: torch.nn.Module) -> set[str]:
    return {name for name, _ in net.named_parameters() if "gate" in name}


@pytest.mark.parametrize("plan", CONFIGURATIONS)
def test_the_gates_are_all_that_is_added(plan) -> None:
    plain, gated = network("AxialUNet", plan), network("GatedAxialUNet", plan)
    assert not gates(plain)
    assert gates(gated)
    shapes = [{name: p.shape for name, p in net.named_parameters()} for net in (plain, gated)]
    assert {name: shape for name, shape in shapes[1].items() if name not in gates(gated)} == shapes[0]


def test_without_position_the_embeddings_are_gone() -> None:
    counts = [sum(p.numel() for p in network(name, "2d").parameters()) for name in ("AxialUNet", "AxialUNetNoPosition")]
    assert counts[1] < counts[0]
