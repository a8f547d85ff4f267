"""What follows from parameters alone, remembered while they stay what they are."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor


class Remembered:
    """The last result of a function of parameters, for a prediction, whose parameters are the same patch after patch.

    The parameters are compared by their values, so it doesn't matter who changed them and how. Copies remember nothing.
    """

    def __init__(self) -> None:
        self._key: Hashable = None
        self._parameters: list[Tensor] = []
        self._result: Any = None

    def __call__(self, function: Callable[[], Tensor], key: Hashable, parameters: Sequence[Tensor]) -> Tensor:
        """``function()``, or what it gave the last time.

        Args:
            function: what depends on key and parameters alone.
            key: all but the parameters that it depends on, their type too.
            parameters: as many and of the same shapes in every call.
        """
        if self._key != key or not all(map(torch.equal, self._parameters, parameters)):
            self._result = function()
            self._key, self._parameters = key, [parameter.detach().clone() for parameter in parameters]
        return self._result

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()
