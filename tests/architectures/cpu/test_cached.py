"""A cached result is what would be computed."""

import copy
import pickle

import torch
from torch import nn

from nnunetv2_ext.architectures.cpu.cached import Cached


class Counted:
    """The sum of a parameter, and how often it was asked for."""

    def __init__(self) -> None:
        self.parameter, self.calls = nn.Parameter(torch.arange(3.0)), 0
        self.cache = Cached()

    def __call__(self, key: object = "same") -> float:
        return self.cache(self.function, key, [self.parameter]).item()

    def function(self) -> torch.Tensor:
        self.calls += 1
        return self.parameter.detach().sum()


def test_the_same_is_computed_once() -> None:
    counted = Counted()
    assert [counted(), counted()] == [3, 3]
    assert counted.calls == 1


def test_whoever_changes_a_parameter_and_however() -> None:
    counted = Counted()
    counted()
    counted.parameter.data.add_(1)  # autograd counts no change
    assert counted() == 6
    with torch.no_grad():
        counted.parameter.zero_()
    assert counted() == 0
    counted.parameter = nn.Parameter(torch.ones(3))
    assert counted() == 3
    with torch.inference_mode():
        counted.parameter.mul_(2)
        assert counted() == 6


def test_another_key() -> None:
    counted = Counted()
    counted("one"), counted("other"), counted("other")
    assert counted.calls == 2


def test_a_call_of_another_thread_in_between() -> None:
    cache, parameter = Cached(), torch.ones(1)

    def detach() -> torch.Tensor:
        cache(lambda: torch.tensor(2.0), "other", [torch.ones(1)])
        return torch.ones(1)

    parameter.detach = detach  # asked for when the result is there
    assert cache(lambda: torch.tensor(1.0), "one", [parameter]) == 1


def test_copies_start_empty() -> None:
    counted = Counted()
    with torch.inference_mode():  # whose tensors are not to be copied
        counted()
    for duplicate in (copy.deepcopy(counted), pickle.loads(pickle.dumps(counted))):
        assert duplicate() == 3
        assert duplicate.calls == 2
    assert counted() == 3
    assert counted.calls == 1
