"""``-pretrained_weights`` takes what fits, instead of all or nothing.

nnU-Net's ``load_pretrained_weights`` asks the network for its state dict, and insists that every name in it is in the file,
with the same shape, unless the name has ``.seg_layers.`` in it. Then it puts all tensors of the file whose names it finds in
the state dict's ``keys()`` into the state dict with ``update()``, and loads that. So between initialisation and training our
trainers have the network return a state dict that is like any other, but answers these three questions differently: every name
says that it has ``.seg_layers.`` in it, ``keys()`` says that it has every name, and ``update()`` takes what fits.
"""

import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, KeysView, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor, nn

from nnunetv2_ext.errors import CheckpointError
from nnunetv2_ext.trainers.networks import unwrapped


class PretrainedWeightsMixin(nnUNetTrainer):
    """Takes from a file of pretrained weights what fits the network, and says in the log what it took and left."""

    _pretrained: "PretrainedWeights | None" = None

    def initialize(self) -> None:
        super().initialize()
        self._pretrained = PretrainedWeights(unwrapped(self.network), self.num_input_channels)

    def load_checkpoint(self, filename_or_checkpoint: str) -> None:
        if not self.was_initialized:
            self.initialize()
        self._close_pretrained()
        super().load_checkpoint(filename_or_checkpoint)

    def on_train_start(self) -> None:
        super().on_train_start()
        self._close_pretrained()

    def _close_pretrained(self) -> None:
        if self._pretrained is not None:
            for line in self._pretrained.close():
                self.print_to_log_file(line)
            self._pretrained = None


class PretrainedWeights:
    """Has a network's state dict take what fits of pretrained weights, until it is closed."""

    def __init__(self, network: nn.Module, input_channels: int) -> None:
        self._input_channels = input_channels
        self._transfer: Transfer | None = None
        self._handle = network._register_state_dict_hook(self._adaptable)

    def _adaptable(self, network: nn.Module, state: dict[str, Tensor], prefix: str, _: Any) -> "AdaptableState | None":
        return AdaptableState(self, type(network).__name__, state) if prefix == "" else None

    def adapt(self, network: str, state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What fits of the weights, by the network's names.

        Raises:
            CheckpointError: if it is nothing, or no more than norms and biases.
        """
        transfer = fit(state, weights, self._input_channels)
        if not any(tensor.ndim > 1 for tensor in transfer.taken.values()):
            raise CheckpointError(
                f"the file of pretrained weights has nothing that fits {network}: none of its {len(weights)} tensors (such as "
                f"{next(iter(weights), 'none')}) has the name and shape of one of the {len(state)} here (such as "
                f"{next(iter(state))}). Take weights of the same family of networks, trained with the same plan."
            )
        self._transfer = transfer
        return transfer.taken

    def close(self) -> list[str]:
        """Has the network's state dict be an ordinary one again, and returns what to say in the log."""
        self._handle.remove()
        return self._transfer.lines() if self._transfer else []


class AdaptableState(OrderedDict[str, Tensor]):
    """A network's state dict whose ``update`` takes what fits; pickled or copied it is an ordinary one."""

    def __init__(self, pretrained: PretrainedWeights, network: str, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._pretrained, self._network = pretrained, network
        self._metadata = getattr(state, "_metadata", {})  # the versions of the modules, which load_state_dict reads
        for name, tensor in state.items():
            self[_OptionalName(name)] = tensor

    def keys(self) -> "KeysView[str]":  # type: ignore[override]
        return _AnyKeys(self)

    def update(self, weights: Mapping[str, Tensor]) -> None:  # type: ignore[override]
        for name, tensor in self._pretrained.adapt(self._network, self, weights).items():
            self[name] = tensor

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, ([(str(name), tensor) for name, tensor in self.items()],), {"_metadata": self._metadata}

    def copy(self) -> "OrderedDict[str, Tensor]":  # type: ignore[override]
        return copy(self)


class _OptionalName(str):
    """A name that nnU-Net's loader need not find in the file."""

    __slots__ = ()

    def __contains__(self, part: object) -> bool:
        return part == ".seg_layers." or super().__contains__(part)  # type: ignore[operator]


class _AnyKeys(KeysView[str]):
    """Keys that have every name, so that nnU-Net's loader hands over all that is in the file."""

    def __contains__(self, name: object) -> bool:
        return True


@dataclass
class Transfer:
    """What of a file's weights goes into a network, and what doesn't."""

    taken: dict[str, Tensor] = field(default_factory=dict)
    """by the network's names"""
    adapted: list[str] = field(default_factory=list)
    """in a sentence each, how the first convolution was made to fit"""
    reshaped: list[str] = field(default_factory=list)
    """names in the network whose tensor in the file has another shape"""
    missing: list[str] = field(default_factory=list)
    """names in the network that the file doesn't have"""
    unknown: list[str] = field(default_factory=list)
    """names in the file that the network doesn't have"""

    def lines(self) -> list[str]:
        """For the log."""
        total = len(self.taken) + len(self.reshaped) + len(self.missing)
        return [
            f"Pretrained weights: {len(self.taken)} of the network's {total} tensors are taken from the file.",
            *self.adapted,
            *(
                f"{what}: {_grouped(names)}"
                for what, names in (
                    ("Initialised, since the file has them in another shape", self.reshaped),
                    ("Initialised, since the file doesn't have them", [name for name in self.missing if not _is_head(name)]),
                    ("Initialised, as nnU-Net does with all segmentation layers", list(filter(_is_head, self.missing))),
                    ("In the file, but not in the network", self.unknown),
                )
                if names
            ),
        ]


def fit(state: Mapping[str, Tensor], weights: Mapping[str, Tensor], input_channels: int) -> Transfer:
    """Finds what of the weights fits a network.

    Args:
        state: the network's state dict.
        weights: those of a file, with the names of this package or of nnU-Net's plain U-Net.
        input_channels: of the network, by which its first convolution is known.
    """
    transfer, used = Transfer(), set()
    for name, own in state.items():
        source = next((candidate for candidate in (name, stock_name(name)) if candidate in weights), None)
        if source is None:
            transfer.missing.append(name)
            continue
        used.add(source)
        tensor = weights[source]
        if tensor.shape != own.shape and _is_first_convolution(own, tensor, input_channels):
            here, there = own.shape[1], tensor.shape[1]
            how = (
                "repeated for each channel" if there == 1 else f"averaged over the {there} channels, the same for each one here"
            )
            transfer.adapted.append(
                f"{name} has {there} input channels in the file and {here} here: {how}, times {there}/{here}."
            )
            tensor = tensor.mean(1, keepdim=True).expand_as(own) * (there / here)
        if tensor.shape == own.shape:
            transfer.taken[name] = tensor
        else:
            transfer.reshaped.append(name)
    # nnU-Net's networks register each convolution and norm twice, and the decoder has the encoder once more.
    twice = re.compile(r"\.all_modules\.|^decoder\.encoder\.")
    transfer.unknown = [name for name in weights if name not in used and not twice.search(name)]
    return transfer


def _is_head(name: str) -> bool:
    """Whether nnU-Net leaves the tensor out of what it loads."""
    return "seg_layers" in name.split(".")  # an _OptionalName claims to contain it


def stock_name(name: str) -> str:
    """The name that nnU-Net's plain U-Net has for a tensor of a stage of ours; any other name as it is."""
    name = re.sub(r"^encoder\.stages\.(\d+)\.(\d+)\.(conv|norm)\.", r"encoder.stages.\1.0.convs.\2.\3.", name)
    return re.sub(r"^decoder\.stages\.(\d+)\.(\d+)\.(conv|norm)\.", r"decoder.stages.\1.convs.\2.\3.", name)


def _is_first_convolution(own: Tensor, tensor: Tensor, input_channels: int) -> bool:
    same_but_for_channels = own.shape[:1] == tensor.shape[:1] and own.shape[2:] == tensor.shape[2:]
    return own.ndim > 2 and same_but_for_channels and own.shape[1] == input_channels


def _grouped(names: Iterable[str]) -> str:
    """The modules that the tensors are in, with their numbers: ``encoder.mbtfe (156), decoder.seg_layers (4)``."""
    counts = Counter(".".join(name.split(".")[:2]) for name in names)
    return ", ".join(f"{module} ({count})" for module, count in counts.items())
