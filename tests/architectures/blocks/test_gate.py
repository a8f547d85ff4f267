import torch

from nnunetv2_ext.architectures.blocks import Gate


def test_projection_is_shared_so_the_gate_is_symmetric_in_its_inputs():
    torch.manual_seed(0)
    gate, signal, skip = Gate(4, dimensions=3), torch.randn(2, 4, 3, 4, 5), torch.rand(2, 4, 3, 4, 5) + 0.5
    torch.testing.assert_close(gate(signal, skip) / skip, gate(skip, signal) / signal, rtol=1e-4, atol=1e-4)


def test_has_no_parameter_that_the_norm_takes_away_again():
    assert [name for name, _ in Gate(4, 6, dimensions=2).named_parameters()] == ["project.0.weight", "score.0.weight"]
