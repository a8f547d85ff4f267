"""A cache for what follows from parameters alone."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor


class Cached:
    """The last result of a function of parameters, for prediction, where they are the same patch after patch.

    Parameters are compared by value, so it doesn't matter who changed them and how. Threads may share it. Copies start empty.
    """

    def __init__(self) -> None:
        self._last: tuple[Hashable, list[Tensor], Any] = None, [], None

    def __call__(self, function: Callable[[], Tensor], key: Hashable, parameters: Sequence[Tensor]) -> Tensor:
        """``function()``, or its last result if key and parameters are unchanged.

        Args:
            function: depends on key and parameters alone.
            key: everything else that the result depends on, dtype included.
            parameters: the same number and shapes in every call.
        """
        last_key, last_parameters, result = self._last
        if last_key != key or not all(map(torch.equal, last_parameters, parameters)):
            result = function()
            self._last = key, [parameter.detach().clone() for parameter in parameters], result
        return result

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()
