"""The time of a training step, and on a GPU its memory."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import NamedTuple

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from nnunetv2_ext.profiling.case import Case
from nnunetv2_ext.profiling.count import Counts

WARM_UP = {"cuda": 3, "cpu": 1}
# Long enough for several steps of most networks, also on a CPU, whose first steps are slow: the stock network's comes first.
SECONDS = 3
# A step of more than this would keep a CPU busy for minutes, or not fit beside other programs.
CPU_GFLOPS = 200
CPU_GIB = 4


class Timing(NamedTuple):
    """What a training step took on this machine."""

    seconds: float
    """the median over the steps of a few seconds"""
    timed_batch_size: int
    """the plan's or the one in the trainer's name on a GPU, 1 on a CPU"""
    gpu_bytes: int | None
    """the most that was allocated, all included; None on a CPU"""


def device() -> torch.device:
    """The device that steps are timed on."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def too_big_for_a_cpu(case: Case, counts: Counts) -> str:
    """Why the step is not worth waiting for; empty if it is, or if there is a GPU."""
    gib = counts.peak_bytes / case.input_shape[0] / 2**30
    if device().type == "cuda" or (counts.gflops <= CPU_GFLOPS and gib <= CPU_GIB):
        return ""
    return (
        f"not timed: {counts.gflops:.0f} GFLOPs and {gib:.1f} GiB at batch 1 are too much for a CPU "
        f"(up to {CPU_GFLOPS} and {CPU_GIB} are timed)"
    )


def time_step(trainer: str, case: Case) -> Timing:
    """Times training steps with random data.

    On a GPU as nnU-Net trains: the plan's batch, float16 autocast, gradient scaling, torch.compile where nnU-Net decides for
    it, cuDNN choosing its fastest kernels, SGD, gradients clipped, deep supervision. On a CPU in float32 without compilation,
    as nnU-Net does there, and at batch 1.
    """
    where = device()
    batch_size = case.configuration.batch_size if where.type == "cuda" else 1
    network = case.network(trainer).to(where)
    step = training_step(network, torch.randn(batch_size, *case.input_shape[1:], device=where), compiled=compiles(where))
    if where.type == "cpu":
        return Timing(_median(step, WARM_UP["cpu"]), batch_size, None)
    try:
        torch.cuda.reset_peak_memory_stats()
        with fastest_kernels():
            return Timing(_median(step, WARM_UP["cuda"]), batch_size, torch.cuda.max_memory_allocated())
    finally:
        del network, step
        torch._dynamo.reset()
        torch.cuda.empty_cache()


def compiles(where: torch.device) -> bool:
    """Whether nnU-Net compiles networks on this device."""
    return nnUNetTrainer._do_i_compile(SimpleNamespace(device=where, print_to_log_file=lambda *_: None))


def fastest_kernels() -> AbstractContextManager[None]:
    """A context in which cuDNN tries its kernels and takes the fastest, as ``nnUNetv2_train`` lets it."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False)


def training_step(
    network: nn.Module, batch: Tensor, *, compiled: bool = False, backend: str = "inductor"
) -> Callable[[], None]:
    """What nnU-Net does with a batch, as a function of nothing.

    Args:
        network: on the device of the batch.
        batch: ``(N, C, *spatial)``.
        compiled: whether the network is compiled.
        backend: by which of ``torch.compile``'s backends.
    """
    where = batch.device
    model = torch.compile(network, backend=backend) if compiled else network
    optimizer = torch.optim.SGD(network.parameters(), 1e-2, weight_decay=3e-5, momentum=0.99, nesterov=True)
    scaler = torch.amp.GradScaler(where.type, enabled=where.type == "cuda")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        context: AbstractContextManager = torch.autocast("cuda") if where.type == "cuda" else nullcontext()
        with context:
            loss = torch.stack([output.float().square().mean() for output in model(batch)]).sum()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 12)
        scaler.step(optimizer)
        scaler.update()

    return step


def _median(step: Callable[[], None], warm_up: int) -> float:
    for _ in range(warm_up):
        step()
    timer = Timer("step()", globals={"step": step}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=SECONDS).median
