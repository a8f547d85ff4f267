import pytest
import torch

from nnunetv2_ext.architectures.medical_transformer.logo import largest_grid
from nnunetv2_ext.errors import InputSizeError, PlanError
from tests.architectures.medical_transformer.plans import network, patch, plan_of


@pytest.mark.parametrize(
    ("length", "reach", "grid"), [(128, 16, 4), (40, 4, 4), (6, 1, 3), (16, 4, 2), (14, 2, 2), (13, 1, 1), (8, 8, 1)]
)
def test_the_grid_divides_the_patch_and_leaves_two_positions_to_the_last_layer(length, reach, grid):
    assert largest_grid(length, reach) == grid


def test_the_grid_is_per_axis_and_follows_the_size():
    net = network("LoGo", "anisotropic", deep_supervision=False).eval()
    assert net.grid_of([6, 32, 16]) == (3, 4, 2)
    assert net.grid_of([14, 16, 24]) == (2, 2, 3)
    assert net(torch.zeros(1, 1, 14, 16, 24)).shape == (1, 3, 14, 16, 24)
    assert network("MedT", "2d", local_grid=[2, 3]).grid_of([32, 24]) == (2, 3)


def test_a_grid_that_does_not_divide_the_patch_or_the_input_is_refused():
    with pytest.raises(PlanError, match=r"no grid of \(5, 5\) equal local patches"):
        network("LoGo", "2d", local_grid=5)
    net = network("LoGo", "2d", local_grid=[2, 3])
    with pytest.raises(InputSizeError, match=r"divisible by \(2, 3\), the grid of local patches"):
        net(torch.zeros(2, 1, 32, 32))


@pytest.mark.parametrize("name", ["LoGo", "MedT"])
def test_together_or_one_after_another_is_the_same_in_evaluation_and_not_in_training(name):
    together = network(name, "anisotropic").double()
    apart = network(name, "anisotropic", patches_together=False).double()
    apart.load_state_dict(together.state_dict())
    x = patch("anisotropic").double()
    with torch.no_grad():
        for ours, expected in zip(apart.eval()(x), together.eval()(x), strict=True):
            torch.testing.assert_close(ours, expected)
        assert not torch.allclose(apart.train()(x)[0], together.train()(x)[0])
    updates = [net.local_branch.stem[1].num_batches_tracked.item() for net in (together, apart)]
    assert updates == [1, 3 * 4 * 2]


def test_the_local_branch_sees_one_patch_at_a_time():
    net = network("LoGo", "2d").eval()
    x = patch("2d")
    changed = x.clone()
    changed[:, :, :8, :8] += 1  # the first patch of a 4x3 grid
    with torch.no_grad():
        before, after = (net.local_features(net.local_branch, one)[0] for one in (x, changed))
    assert not torch.equal(before[:, :, :8, :8], after[:, :, :8, :8])
    torch.testing.assert_close(before[:, :, 8:], after[:, :, 8:])
    torch.testing.assert_close(before[:, :, :, 8:], after[:, :, :, 8:])


def test_the_local_stem_is_as_wide_as_the_global_branch_is_deep():
    from nnunetv2_ext.architectures import LoGo

    net = LoGo(patch_size=[64, 64], **plan_of([[1, 1], *[[2, 2]] * 4]))
    assert net.global_branch.stem[6].out_channels == 8
    assert net.local_branch.stem[6].out_channels == 64
