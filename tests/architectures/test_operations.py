import pytest
import torch
from torch import nn

from nnunetv2_ext.architectures.operations import dimensions_of, operations, per_axis, resize, same_padding
from nnunetv2_ext.errors import PlanError


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_each_operation_works_on_its_dimensions(dimensions):
    ops, x = operations(dimensions), torch.randn(2, 3, *range(4, 4 + dimensions))
    assert ops.convolution(3, 3, 3, padding=same_padding(per_axis(3, dimensions)))(x).shape == x.shape
    assert ops.transposed_convolution(3, 3, 2, 2)(x).shape[2:] == tuple(2 * size for size in x.shape[2:])
    for norm in (ops.batch_norm, ops.instance_norm):
        assert norm(3)(x).shape == x.shape
    assert ops.average_pool(2)(x).shape[2:] == tuple(size // 2 for size in x.shape[2:])
    assert ops.depthwise(3, per_axis(3, dimensions))(x).shape == x.shape
    assert dimensions_of(ops.convolution) == dimensions


def test_other_dimensions_are_refused():
    with pytest.raises(PlanError, match=r"got 4 spatial dimensions, need one of \[1, 2, 3\]"):
        operations(4)
    with pytest.raises(PlanError, match=r"need torch\.nn\.Conv2d or torch\.nn\.Conv3d"):
        dimensions_of(nn.Linear)


def test_resize_keeps_the_corners():
    x = torch.randn(1, 2, 3, 4, 5)
    y = resize(x, (5, 7, 9))
    for corner in ((0, 0, 0), (-1, -1, -1), (0, -1, 0)):
        torch.testing.assert_close(y[:, :, corner[0], corner[1], corner[2]], x[:, :, corner[0], corner[1], corner[2]])
    assert resize(x, (3, 4, 5)) is x
