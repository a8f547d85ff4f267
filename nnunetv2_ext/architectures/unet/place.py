"""Blocks for stages of a plan's U-Net."""

import inspect
from collections.abc import Callable, Collection
from typing import Any

from torch import Tensor, nn

from nnunetv2_ext.architectures.plan import Plan
from nnunetv2_ext.architectures.recompute.modes import Recompute
from nnunetv2_ext.errors import PlanError


def place(
    block: Callable[..., nn.Module],
    plan: Plan,
    stages: Collection[int],
    *,
    where: str,
    stage_count: int | None = None,
    recompute: Recompute = "none",
    **arguments: Any,
) -> dict[int, nn.Module]:
    """One block for each of some stages, built with what its constructor takes of the following by name.

    ``channels``, ``in_channels`` and ``out_channels`` (all the same number), ``dimensions`` or ``spatial_dims``,
    ``kernel_size`` (one number per axis, 1 on an axis on which the plan's is 1), ``plan`` and ``recompute``.

    Args:
        block: class of the block, whose forward keeps the shape of its input.
        plan: the plan.
        stages: 0 for the finest; negative numbers count from the coarsest, -1.
        where: what the stages are called in an error.
        stage_count: number of stages, by default that of the plan; a decoder has one less.
        recompute: mode of activation recomputation, for blocks that know it.
        arguments: further arguments of the block.

    Raises:
        PlanError: if the plan has no such stage, or the block can't be built.
    """
    stage_count = plan.stages if stage_count is None else stage_count
    if unknown := sorted(stage for stage in stages if not -stage_count <= stage < stage_count):
        raise PlanError(f"{where} names stages {unknown}, the plan has 0 to {stage_count - 1}")
    takes = inspect.signature(block).parameters
    placed: dict[int, nn.Module] = {}
    for stage in sorted({stage % stage_count for stage in stages}):
        known = {
            **dict.fromkeys(("channels", "in_channels", "out_channels"), plan.features[stage]),
            **dict.fromkeys(("dimensions", "spatial_dims"), plan.dimensions),
            "kernel_size": plan.kernel_sizes[stage],
            "plan": plan,
            "recompute": recompute,
        }
        known = {name: value for name, value in known.items() if name in takes}
        try:
            built = block(**{**known, **arguments})
        except PlanError:
            raise
        except Exception as error:
            name = getattr(block, "__name__", str(block))
            raise PlanError(
                f"{name} can't be built for stage {stage} of this plan: {type(error).__name__}: {error}. It was given "
                f"{', '.join([*known, *arguments]) or 'nothing'}. Check its arguments and the plan's arch_kwargs."
            ) from error
        placed[stage] = built if "recompute" in takes else KeepsShape(built)
    return placed


class KeepsShape(nn.Module):
    """A block of the user's, whose output has to have the shape of its input."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        out = self.block(x)
        if not isinstance(out, Tensor) or out.shape != x.shape:
            given = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise PlanError(f"{type(self.block).__name__} makes {given} of {tuple(x.shape)}; a block has to keep the shape")
        return out
