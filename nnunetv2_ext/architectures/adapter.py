"""Any ``nn.Module`` as a network that nnU-Net builds from a plan, trains and predicts with."""

import traceback
from collections.abc import Mapping, Sequence
from math import lcm, prod
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Unpack

from nnunetv2_ext.architectures.network import Network, located
from nnunetv2_ext.architectures.operations import per_axis, resize
from nnunetv2_ext.architectures.plan import PlanArguments
from nnunetv2_ext.errors import InputSizeError, PlanError, PresetError


class Heads(nn.Module):
    """Holds nnU-Net's switch ``network.decoder.deep_supervision``."""

    def __init__(self, deep_supervision: bool) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision


class Adapter(Network):
    """Builds a network with facts of the plan, and brings inputs and outputs into the form that nnU-Net works with.

    An input whose size is no multiple of what the network needs is padded with zeros at its end, and the outputs are cropped
    back. The network may give one tensor, or several heads in a list or stacked behind the batch, of any sizes, always or in
    training alone. The heads are resized to nnU-Net's targets for deep supervision; those for which there is no target, or
    all but the first without deep supervision, get a gradient of zero.

    The network is built with the same arguments in training and prediction, whatever deep supervision is, so its weights
    always fit. Its initialisation is its own.

    Args:
        network: dotted path of the class, or of a function that gives the network.
        network_arguments: its keyword arguments.
        facts: further keyword arguments and what they are of the plan: ``input_channels``, ``classes``, ``dimensions``,
            ``patch_size`` (as padded), ``spacing``, ``stages``, ``features``, ``kernel_sizes``, ``strides`` (of every stage),
            ``strides_below`` (of every stage but the first).
        multiple: what each axis of its input has to be divisible by.
        finest: whether the head that is the prediction is the first or the last.
        unused: parts of the names of parameters that its forward never uses. They are taken from the training, because
            distributed training would wait for their gradients.
        patch_size: of the plan.
        spacing: of the plan, if it is known.
        arguments: those of PlainConvUNet.

    Shape:
        ``(N, input_channels, *spatial)`` to logits ``(N, num_classes, *spatial)``; with deep supervision a list of them, one
        per head, but not more than nnU-Net has targets.

    Raises:
        PresetError: if there is no such network or fact.
        PlanError: if the network can't be built for this plan.
        InputSizeError: if the input is smaller than the network can train on.
    """

    def __init__(
        self,
        *,
        network: str,
        network_arguments: Mapping[str, Any] | None = None,
        facts: Mapping[str, str] | None = None,
        multiple: int | Sequence[int] = 1,
        finest: Literal["first", "last"] = "first",
        unused: Sequence[str] = (),
        patch_size: Sequence[int],
        spacing: Sequence[float] | None = None,
        **arguments: Unpack[PlanArguments],
    ) -> None:
        super().__init__(**arguments)
        plan = self.plan
        # Of both, so that what is padded has whole sizes on every stage of the plan, too.
        self.needed = per_axis(multiple, plan.dimensions)
        self.multiple = tuple(map(lcm, self.needed, plan.total_stride))
        self.finest = finest
        known = {
            "input_channels": plan.input_channels,
            "classes": plan.num_classes,
            "dimensions": plan.dimensions,
            "patch_size": self.padded(patch_size),
            "spacing": tuple(spacing or (1.0,) * plan.dimensions),
            "stages": plan.stages,
            "features": plan.features,
            "kernel_sizes": plan.kernel_sizes,
            "strides": plan.strides,
            "strides_below": plan.strides[1:],
        }
        if unknown := sorted(set((facts or {}).values()) - known.keys()):
            raise PresetError(f"a plan has no fact {', '.join(unknown)}; it has {', '.join(known)}")
        of_plan = {argument: known[fact] for argument, fact in (facts or {}).items()}
        self.network = _build(network, {**(network_arguments or {}), **of_plan})
        for name, parameter in self.network.named_parameters():
            if any(part in name for part in unused):
                parameter.requires_grad_(False)
        self.decoder = Heads(plan.deep_supervision)

    @staticmethod
    def initialize(module: nn.Module) -> None:
        """Leaves the network as its constructor initialised it."""

    def padded(self, size: Sequence[int]) -> tuple[int, ...]:
        """The size that an input of this size is padded to."""
        return tuple(-(-axis // multiple) * multiple for axis, multiple in zip(size, self.multiple, strict=True))

    def check_input(self, shape: Sequence[int]) -> None:
        super().check_input(shape)
        if self.training and self.padded(shape[2:]) == self.needed:
            raise InputSizeError(
                f"got an input of size {tuple(shape[2:])}, which leaves {type(self.network).__name__} one position at its "
                f"coarsest, and in training a norm needs more: use a patch of more than {max(self.needed)} on one axis"
            )

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        self.check_input(x.shape)
        size = tuple(x.shape[2:])
        padded = self.padded(size)
        missing = [(0, large - small) for small, large in zip(size, padded, strict=True)]
        if padded != size:
            x = functional.pad(x, [amount for pair in reversed(missing) for amount in pair])
        heads = self._heads(self.network(x))
        steps = [tuple(map(prod, zip(*self.plan.strides[: stage + 1], strict=True))) for stage in range(self.plan.stages - 1)]
        used = len(steps) if self.decoder.deep_supervision else 1
        outputs = [_resized(head, size, padded, step) for head, step in zip(heads[:used], steps, strict=False)]
        for head in heads[used:]:
            outputs[0] = outputs[0] + (head[..., :1] * 0).sum()  # distributed training waits for every parameter's gradient
        return outputs if self.decoder.deep_supervision else outputs[0]

    def _heads(self, outputs: Any) -> list[Tensor]:
        """The outputs as a list, the prediction first."""
        if isinstance(outputs, Tensor) and outputs.dim() == self.plan.dimensions + 3:
            heads = list(outputs.unbind(1))
        elif isinstance(outputs, Tensor):
            heads = [outputs]
        elif isinstance(outputs, list | tuple) and all(isinstance(head, Tensor) for head in outputs):
            heads = list(outputs)
        else:
            raise PlanError(f"{type(self.network).__name__} gives {type(outputs).__name__}, need a tensor or a list of tensors")
        return heads if self.finest == "first" else heads[::-1]


def _resized(head: Tensor, size: Sequence[int], padded: Sequence[int], step: Sequence[int]) -> Tensor:
    """A head at the resolution that is ``step`` times as coarse as the input's, without what was padded."""
    head = resize(head, [axis // factor for axis, factor in zip(padded, step, strict=True)], align_corners=False)
    for axis, (length, factor) in enumerate(zip(size, step, strict=True), 2):
        head = head.narrow(axis, 0, length // factor)
    return head


def _build(path: str, arguments: Mapping[str, Any]) -> nn.Module:
    network = located(path)
    try:
        return network(**arguments)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise PlanError(
            f"{path} can't be built for this plan: {type(error).__name__}: {error} ({last.filename}:{last.lineno})."
        ) from error
