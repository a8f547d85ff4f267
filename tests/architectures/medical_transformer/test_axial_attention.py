import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn

from nnunetv2_ext.architectures.medical_transformer.axial_attention import POSITIONS, AxialAttention, attend, by_pair
from nnunetv2_ext.errors import PlanError

every_position = pytest.mark.parametrize("position", POSITIONS)
SIZES = [(6, 5), (1, 7), (4, 5, 6), (3, 8, 2)]


def attention(position: str = "with", size: tuple[int, ...] = (4, 5, 6), axis: int = 1, **arguments) -> AxialAttention:
    torch.manual_seed(0)
    module = AxialAttention(
        3, 8, dimensions=len(size), axis=axis, length=size[axis], heads=2, position=position, **arguments
    ).double()
    with torch.no_grad():
        for tensor in (*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())):
            tensor.copy_(torch.rand_like(tensor) + 0.3)
    return module


def volume(*size: int) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 3, *size, dtype=torch.float64)


@every_position
@pytest.mark.parametrize("size", SIZES)
def test_shapes_along_every_axis(position, size):
    for axis in range(len(size)):
        assert attention(position, size, axis)(volume(*size)).shape == (2, 8, *size)


@pytest.mark.parametrize(("stride", "expected"), [(2, (2, 3, 3)), ((1, 2, 2), (4, 3, 3)), ((2, 1, 3), (2, 5, 2))])
def test_a_stride_averages_and_rounds_up(stride, expected):
    assert attention(stride=stride)(volume(4, 5, 6)).shape == (2, 8, *expected)


def plain(module: AxialAttention, x: torch.Tensor) -> torch.Tensor:
    """The paper's formulas with every map in memory and BatchNorms of torch, for axis 1 of three in training mode."""
    n, _, a, length, c = x.shape
    rows = x.permute(0, 2, 4, 1, 3).reshape(n * a * c, 3, length)
    project = nn.functional.conv1d(rows, module.project.weight.flatten(2))
    project = batch_norm(project, module.project_norm.weight, module.project_norm.bias)
    q, k, v = project.reshape(-1, 2, 8, length).split((2, 2, 4), 2)
    factors = module.similarity_norm.weight.reshape(-1, 1, 2, 1, 1)
    maps, output = [torch.einsum("rhdi,rhdj->rhij", q, k)], []
    if module.embedding is not None:
        gates = module.gates() if module.gates is not None else (1, 1, 1, 1)
        offsets = torch.arange(length)[:, None] - torch.arange(length) + length - 1
        to_query, to_key, to_value = module.embedding[:, offsets].split((2, 2, 4))
        maps.append(gates[0] * torch.einsum("rhdi,dij->rhij", q, to_query))
        maps.append(gates[1] * torch.einsum("rhdj,dji->rhij", k, to_key))
    logits = sum(batch_norm(one, factor.flatten(), torch.zeros(2).double()) for one, factor in zip(maps, factors, strict=True))
    weights = logits.softmax(-1)
    output.append(torch.einsum("rhij,rhcj->rhci", weights, v))
    if module.embedding is not None:
        output = [gates[2] * output[0], gates[3] * torch.einsum("rhij,cij->rhci", weights, to_value)]
    norm = module.output_norm
    scale, shift = norm.weight.reshape(8, -1).T, norm.bias.reshape(8, -1).T
    result = sum(batch_norm(one.flatten(1, 2), *pair) for one, *pair in zip(output, scale, shift, strict=True))
    return result.reshape(n, a, c, 8, length).permute(0, 3, 1, 4, 2)


def batch_norm(x, weight, bias):
    return nn.functional.batch_norm(x, None, None, weight, bias, training=True)


@every_position
def test_equals_the_formulas_with_every_map_in_memory(position):
    module = attention(position)
    torch.testing.assert_close(module(volume(4, 5, 6)), plain(module, volume(4, 5, 6)), rtol=1e-10, atol=1e-10)


@every_position
def test_piece_by_piece_changes_neither_output_nor_gradients_nor_statistics(position):
    whole = attention(position)
    pieces = deepcopy(whole)
    pieces.entries_at_once = 3 * 2 * 5**2  # three rows at once, of 48
    results = []
    for module in (whole, pieces):
        x = volume(4, 5, 6).requires_grad_()
        output = module(x)
        (output * torch.randn(output.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
        gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
        results.append({"output": output, "input": x.grad, **gradients, **dict(module.named_buffers())})
    for name, expected in results[0].items():
        torch.testing.assert_close(results[1][name], expected, rtol=1e-10, atol=1e-10, msg=lambda text, name=name: name + text)
    assert pieces.project_norm.num_batches_tracked == 1
    with torch.no_grad():
        torch.testing.assert_close(pieces.eval()(volume(4, 5, 6)), whole.eval()(volume(4, 5, 6)))


def test_pieces_are_kept_only_as_long_as_they_are_worked_on():
    saved = []
    for entries in (2**22, 1000):
        module, sizes = attention(), []
        module.entries_at_once = entries
        with torch.autograd.graph.saved_tensors_hooks(lambda x, sizes=sizes: sizes.append(tuple(x.shape)) or x, lambda x: x):
            module(volume(4, 5, 6))
        saved.append(any(shape[-2:] == (5, 5) and len(shape) == 4 for shape in sizes))
    assert saved == [True, False]


@every_position
def test_statistics_are_those_of_batch_norm(position):
    module = attention(position)
    q, k, _ = (
        module.project_norm(module.project(volume(4, 5, 6))).permute(0, 2, 4, 1, 3).reshape(48, 2, 8, 5).split((2, 2, 4), 2)
    )
    norm = nn.BatchNorm2d(2).double()
    norm(torch.einsum("rhdi,rhdj->rhij", q, k))
    before = module.similarity_norm.running_var[:2].clone()
    module(volume(4, 5, 6))
    expected = before * 0.9 + (norm.running_var - 0.9)
    torch.testing.assert_close(module.similarity_norm.running_var[:2], expected)


@every_position
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_commutes_with_permuting_the_other_axes(position, axis):
    module, x = attention(position, (4, 5, 6), axis).eval(), volume(4, 5, 6)
    for other in {0, 1, 2} - {axis}:
        order = torch.randperm(x.shape[2 + other])
        expected = module(x).index_select(2 + other, order)
        torch.testing.assert_close(module(x.index_select(2 + other, order)), expected)


def test_without_position_the_axis_itself_may_be_permuted_and_with_position_not():
    order = torch.tensor([2, 0, 4, 1, 3])
    for position in POSITIONS:
        module, x = attention(position).eval(), volume(4, 5, 6)
        same = torch.allclose(module(x[:, :, :, order]), module(x)[:, :, :, order])
        assert same == (position == "without")


def test_the_same_rows_along_another_axis_give_the_same():
    along_first, along_second, x = attention(size=(5, 4, 6), axis=0), attention(axis=1), volume(5, 4, 6)
    torch.testing.assert_close(along_second(x.transpose(2, 3)), along_first(x).transpose(2, 3))


def test_an_embedding_is_interpolated_to_another_length_and_keeps_ends_and_middle():
    embedding = torch.randn(3, 9)
    assert torch.equal(by_pair(embedding, 5)[:, 4, 1], embedding[:, 4 + 3])
    for length in (3, 8):
        pairs = by_pair(embedding, length)
        assert pairs.shape == (3, length, length)
        torch.testing.assert_close(pairs[:, 1, 1], embedding[:, 4])
        torch.testing.assert_close(pairs[:, -1, 0], embedding[:, 8])
        torch.testing.assert_close(pairs[:, 0, -1], embedding[:, 0])
    assert torch.equal(by_pair(embedding, 1)[:, 0, 0], embedding[:, 4])
    assert attention()(volume(4, 9, 6)).shape == (2, 8, 4, 9, 6)


@every_position
@pytest.mark.parametrize("training", [pytest.param(True, marks=pytest.mark.slow), False])
def test_gradients(position, training):
    module = attention(position, (2, 3), 0).train(training)
    x = volume(2, 3).requires_grad_()
    assert torch.autograd.gradcheck(module, (x,))
    module.entries_at_once = 16
    assert torch.autograd.gradcheck(module, (x,))


@every_position
def test_every_parameter_gets_a_gradient(position):
    module = attention(position)
    (module(volume(4, 5, 6)) * torch.randn(2, 8, 4, 5, 6)).sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in module.parameters())


def test_frozen_gates_get_a_gradient_of_zero_and_weigh_all_the_same():
    free, frozen = attention("gated"), attention("gated")
    frozen.gates.frozen = True
    outputs = [module(volume(4, 5, 6)) for module in (free, frozen)]
    torch.testing.assert_close(*outputs)
    for module, output in zip((free, frozen), outputs, strict=True):
        (output * torch.randn(output.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
        assert all((gate.grad == 0) == module.gates.frozen for gate in module.gates.parameters())
    torch.testing.assert_close(free.project.weight.grad, frozen.project.weight.grad)


@every_position
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_large_activations_stay_finite_in_half_precision(position, dtype):
    module, x = attention(position).float(), volume(4, 5, 6).float() * 1e3
    with torch.autocast("cpu", dtype=dtype):
        output = module(x)
    output.float().square().mean().backward()
    assert output.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_half_precision_is_attended_to_in_single_and_double_stays_double():
    torch.manual_seed(0)
    queries, keys, values = (torch.randn(3, 2, channels, 5) for channels in (2, 2, 4))
    factors = torch.full((1, 2), 3.0)
    half = [x.half() for x in (queries, keys, values)]
    in_single = attend(*(x.float() for x in half), factors)
    torch.testing.assert_close(attend(*half, factors), in_single.half(), rtol=0, atol=0)
    assert attention().double()(volume(4, 5, 6)).dtype == torch.float64


@pytest.mark.slow
@every_position
@pytest.mark.parametrize("entries", [2**22, 16 * 2 * 5**2])
def test_compiles_exports_and_pickles(position, entries):
    torch.compiler.reset()
    module, x = attention(position), volume(4, 5, 6)
    module.entries_at_once = entries
    reference = deepcopy(module)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), reference(x))
    compiled(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    module.eval()
    torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), module(x))
    torch.testing.assert_close(pickle.loads(pickle.dumps(module))(x), module(x))


def test_channels_that_the_heads_do_not_divide_are_refused():
    with pytest.raises(PlanError, match="needs a multiple of 16"):
        AxialAttention(8, 24, dimensions=2, axis=0, length=4)
    with pytest.raises(PlanError, match="position is 'none', need one of with, gated, without"):
        AxialAttention(8, 16, dimensions=2, axis=0, length=4, position="none")
