"""What a port consists of."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import nn


class Port(NamedTuple):
    build: Callable[..., nn.Module]
    key: Callable[[str], str | list[str] | None]


def rename(rules: Sequence[tuple[str, str | None]]) -> Callable[[str], str | None]:
    """Applies the first rule whose pattern the whole official key matches; a replacement of None drops the tensor."""

    def key(official: str) -> str | None:
        for pattern, replacement in rules:
            if match := re.fullmatch(pattern, official):
                return None if replacement is None else match.expand(replacement)
        raise KeyError(f"no rule for {official}")

    return key


def accept_any_shape(module: nn.Module) -> nn.Module:
    """Lets a module load tensors that only have axes of length one more or less than its own."""

    def reshape(module: nn.Module, state_dict: dict, *_: object) -> None:
        for name, own in module.state_dict().items():
            if name in state_dict and state_dict[name].numel() == own.numel():
                state_dict[name] = state_dict[name].reshape(own.shape)

    module.register_load_state_dict_pre_hook(reshape)
    return module
