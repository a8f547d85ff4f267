import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunetv2_ext.architectures.plan import Plan
from nnunetv2_ext.errors import InputSizeError, PlanError
from tests.plans import arguments


def test_scalars_stand_for_every_stage_and_axis():
    plan = Plan.from_arguments({**arguments("3d"), "kernel_sizes": 3, "features_per_stage": 8, "strides": [1, 2, (1, 2, 2)]})
    assert plan.kernel_sizes == ((3, 3, 3),) * 3
    assert plan.features == (8, 8, 8)
    assert plan.strides == ((1, 1, 1), (2, 2, 2), (1, 2, 2))
    assert plan.total_stride == (2, 4, 4)


def test_numbers_of_numpy_are_numbers():
    plan = Plan.from_arguments({**arguments("3d"), "kernel_sizes": np.int64(3), "strides": [1, np.int64(2), (1, 2, 2)]})
    assert plan.kernel_sizes == ((3, 3, 3),) * 3
    assert plan.strides == ((1, 1, 1), (2, 2, 2), (1, 2, 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": [1, 2]}, "strides has 2 entries, need 3 for n_stages=3"),
        ({"kernel_sizes": [(3, 3)] * 3}, r"got \[3, 3\] for 3 spatial dimensions"),
        ({"n_conv_per_stage_decoder": [2] * 3}, "n_conv_per_stage_decoder has 3 entries, need 2"),
        ({"patch_sise": 3}, "unknown patch_sise"),
        ({"conv_op": int}, "conv_op is <class 'int'>, need torch.nn.Conv2d or torch.nn.Conv3d"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(PlanError, match=message):
        Plan.from_arguments({**arguments("3d"), **changes})


def test_what_is_missing_is_named():
    with pytest.raises(PlanError, match="missing n_conv_per_stage, strides"):
        Plan.from_arguments({k: v for k, v in arguments("3d").items() if k not in ("strides", "n_conv_per_stage")})


@given(st.lists(st.integers(1, 200), min_size=3, max_size=3))
def test_a_size_is_served_or_one_that_fits_is_named(size):
    plan = Plan.from_arguments(arguments("3d_anisotropic"))
    try:
        plan.check_input((2, 1, *size), training=False)
    except InputSizeError as error:
        fitting = eval(str(error).split("use a patch of ")[1].split(", for instance")[0])
        plan.check_input((2, 1, *fitting), training=False)
        assert all(f >= s for f, s in zip(fitting, size, strict=True))
    else:
        assert all(s % t == 0 for s, t in zip(size, plan.total_stride, strict=True))
