"""A cache for what follows from parameters alone."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor


class Cached:
    """The last result of a function of parameters, for prediction, where they are the same patch after patch.

    Parameters are compared by value, so it doesn't matter who changed them and how. Copies start empty.
    """

    def __init__(self) -> None:
        self._key: Hashable = None
        self._parameters: list[Tensor] = []
        self._result: Any = None

    def __call__(self, function: Callable[[], Tensor], key: Hashable, parameters: Sequence[Tensor]) -> Tensor:
        """``function()``, or its last result if key and parameters are unchanged.

        Args:
            function: depends on key and parameters alone.
            key: everything else that the result depends on, dtype included.
            parameters: the same number and shapes in every call.
        """
        if self._key != key or not all(map(torch.equal, self._parameters, parameters)):
            self._result = function()
            self._key, self._parameters = key, [parameter.detach().clone() for parameter in parameters]
        return self._result

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()
