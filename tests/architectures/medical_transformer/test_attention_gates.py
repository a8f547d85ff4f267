"""The gates of gated axial attention."""

import pytest
import torch

from nnunetv2_ext.architectures.medical_transformer.attention_gates import AttentionGates


def test_they_start_as_published() -> None:
    torch.testing.assert_close(torch.stack(AttentionGates()()), torch.tensor([0.1, 0.1, 1.0, 0.1]))


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_they_weigh_all_the_same_and_get_a_gradient_of_zero(frozen) -> None:
    gates = AttentionGates()
    gates.frozen = frozen
    torch.stack(gates()).sum().backward()
    assert [float(gate.grad) for gate in gates.parameters()] == [0.0 if frozen else 1.0] * 4
