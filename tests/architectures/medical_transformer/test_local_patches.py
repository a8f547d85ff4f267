import pytest
import torch

from nnunetv2_ext.architectures.medical_transformer.local_patches import join_patches, split_into_patches

CASES = [((4, 6), (2, 3)), ((4, 6), (1, 2)), ((4, 6, 2), (2, 3, 1)), ((6, 4, 8), (3, 2, 4))]


@pytest.mark.parametrize(("size", "grid"), CASES)
def test_joining_is_the_inverse_of_splitting(size, grid):
    x = torch.randn(2, 3, *size)
    patches = split_into_patches(x, grid)
    assert patches.shape[2:] == tuple(length // count for length, count in zip(size, grid, strict=True))
    assert torch.equal(join_patches(patches, grid), x)


def test_patches_are_in_the_order_of_the_axes_and_samples_are_neighbours():
    x = torch.randn(2, 3, 4, 6)
    patches = split_into_patches(x, (2, 3))
    for row in range(2):
        for column in range(3):
            expected = x[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert torch.equal(patches.chunk(6)[3 * row + column], expected)


def test_patches_of_another_size_and_width_are_joined_too():
    assert join_patches(torch.zeros(24, 5, 3, 1), (3, 4)).shape == (2, 5, 9, 4)
