import pytest
import torch
from torch import nn

from nnunetv2_ext.architectures.network import keep_in_graph
from nnunetv2_ext.errors import CheckpointError
from tests.plans import network


def test_other_weights_are_counted_and_one_is_named():
    weights = network("EGE", "2d").state_dict()
    with pytest.raises(CheckpointError, match=r"not those of EGE on this plan: \d+ tensors unknown \(such as encoder\.mbtfe"):
        network("EGENoMBTFE", "2d").load_state_dict(weights)
    with pytest.raises(CheckpointError, match="tensors of another shape"):
        network("EGE", "2d", classes=5).load_state_dict(weights)


def test_an_unused_head_gets_a_gradient_of_zero_and_changes_nothing():
    head, x = nn.Conv2d(1, 1, 1), torch.randn(1, 1, 2, 2, requires_grad=True)
    kept = keep_in_graph(x, head)
    assert torch.equal(kept, x)
    kept.sum().backward()
    assert all(parameter.grad.abs().max() == 0 for parameter in head.parameters())
