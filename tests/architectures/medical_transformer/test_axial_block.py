import pickle

import pytest
import torch
from torch import nn

from nnunetv2_ext.architectures.medical_transformer.axial_block import AxialBlock
from nnunetv2_ext.errors import PlanError

CASES = [((6, 5), 1), ((6, 5), 2), ((4, 5, 6), 2), ((4, 5, 6), (1, 2, 2)), ((1, 4, 6), (1, 2, 1))]


def block(size: tuple[int, ...] = (4, 5, 6), in_channels: int = 4, **arguments) -> AxialBlock:
    torch.manual_seed(0)
    return AxialBlock(in_channels, 8, dimensions=len(size), size=size, heads=2, **arguments).double()


def volume(size: tuple[int, ...] = (4, 5, 6), channels: int = 4) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(2, channels, *size, dtype=torch.float64)


@pytest.mark.parametrize(("size", "stride"), CASES)
@pytest.mark.parametrize("attention", [True, False])
def test_shapes(size, stride, attention):
    steps = (stride,) * len(size) if isinstance(stride, int) else stride
    expected = tuple(-(-length // step) for length, step in zip(size, steps, strict=True))
    assert block(size, stride=stride, attention=attention)(volume(size)).shape == (2, 8, *expected)


def test_there_is_an_attention_per_axis_and_the_last_carries_the_stride():
    module = block(stride=(1, 2, 2))
    assert [attention.axis for attention in module.attentions] == [0, 1, 2]
    assert [isinstance(attention.pool, nn.AvgPool3d) for attention in module.attentions] == [False, False, True]


def test_without_attention_it_works_on_each_position_by_itself():
    x = volume()
    changed = x.clone()
    changed[:, :, 0, 0, 0] += 1
    for attention in (True, False):
        module = block(attention=attention).eval()
        difference = (module(changed) - module(x)).abs().sum(1)
        assert difference[:, 0, 0, 0].max() > 0
        difference[:, 0, 0, 0] = 0
        assert (difference.max() > 0) == attention


def test_the_shortcut_is_the_input_where_nothing_changes():
    assert len(block(in_channels=8).shortcut) == 0
    assert len(block(in_channels=4).shortcut) == len(block(in_channels=8, stride=2).shortcut) == 2


def test_gradients():
    x = volume((2, 3), 2)[:, :, :2, :2].requires_grad_()
    module = AxialBlock(2, 4, dimensions=2, size=(2, 2), heads=1, position="gated").double()
    assert torch.autograd.gradcheck(module.eval(), (x,))


@pytest.mark.parametrize("position", ["with", "gated", "without"])
def test_every_parameter_gets_a_gradient_and_has_one_key(position):
    module = block(position=position, stride=2)
    output = module(volume())
    (output * torch.randn_like(output)).sum().backward()
    assert [name for name, parameter in module.named_parameters() if parameter.grad is None] == []
    places = [tensor.data_ptr() for tensor in module.state_dict(keep_vars=True).values()]
    assert len(places) == len(set(places))


@pytest.mark.slow
def test_compiles_exports_and_pickles():
    torch.compiler.reset()
    module, x = block(stride=2, position="gated").eval(), volume()
    torch.testing.assert_close(torch.compile(module, fullgraph=True, backend="eager")(x), module(x))
    torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), module(x))
    torch.testing.assert_close(pickle.loads(pickle.dumps(module))(x), module(x))


def test_a_width_that_the_heads_do_not_divide_is_refused():
    with pytest.raises(PlanError, match="use fewer heads or a greater width"):
        AxialBlock(4, 12, dimensions=2, size=(4, 4))
