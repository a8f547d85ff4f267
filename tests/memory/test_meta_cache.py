"""Operations on the meta device, from the cache and without it."""

import pytest
import torch
from torch import Tensor

from nnunetv2_ext.memory import meta_cache
from nnunetv2_ext.memory.meta_cache import on_meta

ATEN = torch.ops.aten
A, B = torch.empty(4, 6, device="meta"), torch.empty(6, 3, dtype=torch.float16, device="meta").t()


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_cache, "_results", {})


def layout(x: Tensor) -> tuple[object, ...]:
    return x.shape, x.stride(), x.dtype, x.untyped_storage().nbytes(), x.device


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (ATEN.mul.Tensor, (A, 2)),
        (ATEN.exp.default, (B,)),
        (ATEN.mm.default, (A, A.t())),
        (ATEN.max_pool2d_with_indices.default, (torch.empty(1, 2, 8, 8, device="meta"), [2, 2])),
        (ATEN.native_layer_norm.default, (A, [6], None, None, 1e-5)),
    ],
)
def test_the_second_time_gives_the_same_layout_in_new_memory(operation, arguments) -> None:
    expected, first, second = operation(*arguments), on_meta(operation, arguments, {}), on_meta(operation, arguments, {})
    assert [kept is not None for kept in meta_cache._results.values()] == [True]
    assert type(second) is type(expected)
    outputs = [(x,) if isinstance(x, Tensor) else x for x in (expected, first, second)]
    for one, two, three in zip(*outputs, strict=True):
        assert layout(one) == layout(two) == layout(three)
        assert two.untyped_storage()._cdata != three.untyped_storage()._cdata


def test_what_decides_the_result_is_told_apart() -> None:
    for argument in (2, 2.0, True):
        on_meta(ATEN.add.Tensor, (torch.empty(3, dtype=torch.int64, device="meta"), argument), {})
    on_meta(ATEN.add.Tensor, (torch.empty(3, dtype=torch.int32, device="meta"), 2), {})
    assert len(meta_cache._results) == 4


def test_views_and_what_is_written_in_place_are_never_cached() -> None:
    for _ in range(2):
        assert on_meta(ATEN.t.default, (A,), {}).untyped_storage()._cdata == A.untyped_storage()._cdata
        assert on_meta(ATEN.mul_.Tensor, (A, 2), {}) is A
        # a view by what it does, though its schema doesn't say so
        assert on_meta(ATEN._unsafe_view.default, (A, [24]), {}).untyped_storage()._cdata == A.untyped_storage()._cdata


def test_numbers_are_computed_each_time() -> None:
    ones = torch.ones(2)
    assert on_meta(ATEN.add.Tensor, (ones, 1), {}).tolist() == [2, 2]
    assert on_meta(ATEN.add.Tensor, (ones, 2), {}).tolist() == [3, 3]


def test_a_full_cache_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_cache, "MOST_ENTRIES", 2)
    for factor in (2, 3, 4):
        on_meta(ATEN.mul.Tensor, (A, factor), {})
    assert len(meta_cache._results) == 1
