"""What is run, timed and weighed."""

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.profiler import profile

from nnunetv2_ext.memory.autocast import cuda_autocast_rules, half_autocast
from nnunetv2_ext.memory.gpu_paths import gpu_paths
from nnunetv2_ext.memory.step import step_memory
from scripts.benchmark.record import Record

Action = Callable[[], Any]


@contextmanager
def recorded_failure(record: Record, section: str, **row: Any) -> Iterator[None]:
    """A network that fails, or doesn't fit into the memory, gets a figure that says why, and the others go on."""
    try:
        yield
    except Exception as error:  # whatever a network, a compiler or a driver raises
        record.write(section, "problem", problem(error), **row)
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def problem(error: Exception) -> str:
    """What a table says of an error: its first line, and one more where that only says who raised it."""
    first, *others = f"{type(error).__name__}: {error}".splitlines()
    return " ".join([first, *others[: first.endswith(":")]])[:200]


@contextmanager
def rules_of_a_gpu(device: torch.device) -> Iterator[Callable[[], Any]]:
    """A context for a forward and a backward as on a GPU; it gives the context of mixed precision for the forward."""
    if device.type == "cuda":
        yield lambda: torch.autocast("cuda", torch.float16)
    else:
        with gpu_paths(), cuda_autocast_rules():
            yield half_autocast


def take_turns(record: Record, section: str, actions: Sequence[tuple[dict[str, Any], Action]], rounds: int) -> None:
    """Times actions, which take turns, so that a noisy minute doesn't fall upon one of them. The first round is a warm-up.

    Args:
        record: gets the seconds as they come.
        section: the section of the record.
        actions: each with its row in the record.
        rounds: how often each is timed.
    """
    alive = list(actions)
    for number in range(rounds + 1):
        for row, action in list(alive):
            if record.time_is_up:
                return
            with recorded_failure(record, section, **row):
                seconds = seconds_of(action)
                if number:
                    record.write(section, "seconds", seconds, **row)
                continue
            alive.remove((row, action))


def seconds_of(action: Action) -> float:
    """Seconds that an action takes, on a GPU until its last kernel has ended."""
    _wait()
    began = time.perf_counter()
    action()
    _wait()
    return time.perf_counter() - began


def peak_of(network: nn.Module, batch: Tensor, step: Action) -> int:
    """The most bytes that are alive in a training step beside weights, optimizer and batch.

    On a GPU what the allocator gave out; on a CPU the living tensors of a step that is computed by the rules of a GPU.
    """
    if batch.device.type == "cpu":
        return step_memory(network, batch).peak
    step()  # the optimizer's state is there afterwards
    _wait()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    _wait()
    return torch.cuda.max_memory_allocated() - before


class Operation(NamedTuple):
    """An operation of torch on inputs of one shape, in all its calls."""

    name: str
    """with the shape of its first input"""
    milliseconds: float
    """without the operations that it calls; on a GPU those of its kernels"""
    calls: int


def slowest_operations(step: Action, device: torch.device, number: int) -> list[Operation]:
    """The operations of a step that take the longest, after a step to warm up."""
    step()
    with profile(record_shapes=True) as profiler:
        step()
        _wait()
    measure = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    microseconds: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for event in profiler.key_averages(group_by_input_shape=True):
        if event.key.startswith("aten::"):
            microseconds[_with_shape(event)] += getattr(event, measure)
            calls[_with_shape(event)] += event.count
    return [Operation(name, time / 1e3, calls[name]) for name, time in microseconds.most_common(number)]


def _with_shape(event: Any) -> str:
    first = next((shape for shape in event.input_shapes if shape), [])
    return f"{event.key.removeprefix('aten::')} {'x'.join(map(str, first))}".strip()


def inference(network: nn.Module, batch: Tensor) -> Action:
    """A forward without gradients, on a GPU in mixed precision."""
    network.eval()
    network.decoder.deep_supervision = False  # type: ignore[union-attr]

    def run() -> None:
        with ExitStack() as contexts:
            contexts.enter_context(torch.inference_mode())
            if batch.device.type == "cuda":
                contexts.enter_context(torch.autocast("cuda", torch.float16))
            network(batch)

    return run


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
