#!/usr/bin/env python
"""Compiles the training step of presets for a GPU, on a machine that has none.

nnU-Net compiles networks on GPUs by default, so a network that the compiler can't take can't be trained there. torch.compile
needs no GPU until it loads the kernels: here it traces the step, splits it into forward and backward, fuses operations and
writes the Triton code for an H100, and stops. What happens then, in Triton and on the GPU, is not seen.

The step is traced on the CPU with tensors that have no values, and each half is moved to a GPU that exists in name only; the
autograd engine wants a real one. Seen to work with torch 2.11 and 2.14.
"""

import copy
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import click
import torch
import torch._inductor.config as inductor
from functorch.compile import make_boxed_func, min_cut_rematerialization_partition
from rich.console import Console
from rich.table import Table
from torch import Tensor, fx, nn
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.device_interface import CudaInterface
from torch._inductor.compile_fx import compile_fx_inner
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.graph import GraphLowering
from torch._subclasses import FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp

from nnunetv2_ext.memory.autocast import cuda_autocast_rules
from nnunetv2_ext.memory.gpu_paths import gpu_paths
from nnunetv2_ext.presets import OURS, PRESETS
from nnunetv2_ext.profiling.case import case_of_patch
from nnunetv2_ext.trainers.names import PREFIX

GPU = torch.device("cuda", 0)
H100 = SimpleNamespace(
    name="NVIDIA H100",
    major=9,
    minor=0,
    multi_processor_count=132,
    total_memory=80 * 2**30,
    warp_size=32,
    max_threads_per_multi_processor=2048,
    regs_per_multiprocessor=65536,
    shared_memory_per_block=48 * 2**10,
    shared_memory_per_block_optin=227 * 2**10,
    L2_cache_size=50 * 2**20,
)


def kernels_for_gpu(build: Callable[[], nn.Module], input_shape: Sequence[int]) -> list[int]:
    """The number of Triton kernels of a training step's forward and backward, one of each for each graph of the network.

    Args:
        build: makes the network, in training mode.
        input_shape: of a batch.

    Raises:
        Exception: whatever the compiler raises.
    """
    kernels: list[int] = []

    def compiler(graph: fx.GraphModule, inputs: Sequence[Any], *, is_backward: bool) -> Any:
        kernels.append(_triton_code(graph, inputs, is_backward).count("@triton.jit"))
        return make_boxed_func(graph.forward)

    backend = aot_autograd(
        fw_compiler=partial(compiler, is_backward=False),
        bw_compiler=partial(compiler, is_backward=True),
        decompositions=select_decomp_table(),
        partition_fn=partial(min_cut_rematerialization_partition, compiler="inductor"),
    )
    torch.compiler.reset()
    with FakeTensorMode(), gpu_paths(), cuda_autocast_rules():
        with torch.autocast("cpu", torch.float16):
            outputs = torch.compile(build(), backend=backend)(torch.empty(input_shape))
        sum(output.float().sum() for output in ([outputs] if isinstance(outputs, Tensor) else outputs)).backward()
    torch.compiler.reset()
    return kernels


def _triton_code(graph: fx.GraphModule, inputs: Sequence[Any], is_backward: bool) -> str:
    graph = copy.deepcopy(graph)
    for node in graph.graph.nodes:
        if node.kwargs.get("device"):
            node.update_kwarg("device", GPU)
        node.args = tuple(GPU if isinstance(argument, torch.device) else argument for argument in node.args)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        moved = [
            torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=GPU) if isinstance(x, Tensor) else x for x in inputs
        ]
    written: list[str] = []

    def instead_of_loading(lowering: GraphLowering) -> Any:
        code = lowering.codegen()[0]
        written.append(
            getattr(code, "value", code)
        )  # with the lines that it came from in newer versions, without in older ones
        raise _WrittenError

    with ExitStack() as contexts:
        contexts.enter_context(_named_gpu())
        contexts.enter_context(patch.object(GraphLowering, "compile_to_module", instead_of_loading))
        contexts.enter_context(torch._guards.tracing(torch._guards.TracingContext(mode)))
        FakeTensorProp(graph, mode).propagate_dont_convert_inputs(*moved)
        try:
            compile_fx_inner(graph, moved, is_backward=is_backward)
        except Exception:  # the compiler wraps what it meets
            if not written:
                raise
    return written[0]


class _WrittenError(Exception):
    """All the code is written."""


@contextmanager
def _named_gpu() -> Iterator[None]:
    """torch answers all that its compiler asks of a GPU, without one."""
    answers = {
        "is_available": True,
        "device_count": 1,
        "current_device": 0,
        "get_compute_capability": 90,
        "get_device_properties": H100,
        "is_bf16_supported": True,
        "synchronize": None,
        "exchange_device": 0,
        "maybe_exchange_device": 0,
        "set_device": None,
        "get_raw_stream": 0,
        "is_triton_capable": True,
        "raise_if_triton_unavailable": None,
    }
    with ExitStack() as contexts:
        for name, answer in answers.items():
            contexts.enter_context(patch.object(CudaInterface, name, _answering(answer), create=True))
        contexts.enter_context(patch.object(CudaInterface.Worker, "get_device_properties", _answering(H100)))
        contexts.enter_context(patch.object(CudaInterface.Worker, "current_device", _answering(0)))
        for name, answer in {"get_device_properties": H100, "get_device_capability": (9, 0), "current_device": 0}.items():
            contexts.enter_context(patch.object(torch.cuda, name, lambda *_, answer=answer, **__: answer))
        contexts.enter_context(patch("torch._inductor.scheduler.has_triton", lambda *_: True))
        contexts.enter_context(patch("torch.utils._triton.triton_hash_with_backend", lambda *_: "none"))
        contexts.enter_context(inductor.patch(compile_threads=1, fx_graph_cache=False))
        yield


def _answering(answer: Any) -> Any:
    return staticmethod(lambda *_, **__: answer)


@click.command(epilog="Example: python -m scripts.compile_for_gpu EGE MedT --patch 128 128 128")
@click.argument("presets", nargs=-1, type=click.Choice([*PRESETS]), metavar="[PRESET]...")
@click.option("--patch", "patches", multiple=True, type=(int, int, int), default=[(128, 128, 128)], show_default=True)
def main(presets: tuple[str, ...], patches: tuple[tuple[int, int, int], ...]) -> None:
    """Compile presets for a GPU, all of ours if none is named; the exit code is 1 if one can't be compiled."""
    table = Table("preset", "patch", "kernels", "CPU seconds", "problem")
    for size in patches:
        case = case_of_patch(size, channels=1, classes=2, batch_size=2)
        for preset in presets or [preset.name for preset in OURS]:
            began, kernels, problem = time.process_time(), [], ""
            try:
                kernels = kernels_for_gpu(partial(case.network, PREFIX + preset), case.input_shape)
            except Exception as error:  # whatever the compiler raises
                problem = f"{type(error).__name__}: {error}".strip()
            row = (
                preset,
                "x".join(map(str, size)),
                " + ".join(map(str, kernels)),
                f"{time.process_time() - began:.0f}",
                problem,
            )
            table.add_row(*row)
            click.echo("  ".join(row))
    Console().print(f"torch {torch.__version__}", table)
    sys.exit(any(table.columns[-1].cells))


if __name__ == "__main__":
    main()
