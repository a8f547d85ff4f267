"""Whether a network takes the operations of a GPU, whatever device its tensors are on."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_taken = ContextVar("gpu_paths_taken", default=False)


@contextmanager
def gpu_paths() -> Iterator[None]:
    """A context in which networks take the operations that they would take on a GPU, also with tensors on the CPU."""
    token = _taken.set(True)
    try:
        yield
    finally:
        _taken.reset(token)


def gpu_paths_taken() -> bool:
    """Whether we are in such a context; code with fast paths for the CPU asks this before it takes them."""
    return _taken.get()
