"""Compiles a training step for a GPU on a machine that has none.

nnU-Net compiles networks on GPUs by default, so a network that the compiler can't take can't be trained there. torch.compile
needs no GPU until it loads the kernels: here it traces the step, splits it into forward and backward, fuses operations, writes
the Triton code for an H100, and stops. What happens then, in Triton and on the GPU, is not seen. The code says when each tensor
is made and freed, so the peak memory of the compiled step is known, too, without weights and the workspace of cuDNN.

The step is traced on the CPU with tensors that have no values, and each half is moved to a GPU that exists in name only; the
autograd engine wants a real one. Seen to work with torch 2.11 and 2.14.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import torch._inductor.config as inductor
from functorch.compile import make_boxed_func, min_cut_rematerialization_partition
from torch import Tensor, fx, nn
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.device_interface import CudaInterface
from torch._inductor.compile_fx import compile_fx_inner
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.fx_passes.post_grad import view_to_reshape
from torch._inductor.graph import GraphLowering
from torch._inductor.memory import compute_memory_timeline, prepare_planning_info
from torch._subclasses import FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp
from torch.utils._ordered_set import OrderedSet

from nnunetv2_ext.memory.autocast import cuda_autocast_rules
from nnunetv2_ext.memory.gpu_paths import gpu_paths

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


@dataclass(frozen=True)
class Graph:
    """One half of a compiled step: a forward or a backward."""

    kernels: int
    """written in Triton"""
    peak_bytes: int
    """of what it is given, makes and keeps, without weights"""


def compile_for_gpu(build: Callable[[], nn.Module], input_shape: Sequence[int]) -> list[Graph]:
    """Compiles a training step: its forward, then its backward.

    Args:
        build: makes the network, in training mode.
        input_shape: of a batch.

    Raises:
        Exception: whatever the compiler raises.
    """
    graphs: list[Graph] = []

    def compiler(graph: fx.GraphModule, inputs: Sequence[Any], *, is_backward: bool) -> Any:
        graphs.append(_compile(graph, inputs, is_backward))
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
        # of squares, whose gradient is as large as the output; that of a sum would be one number
        sum(output.float().square().sum() for output in ([outputs] if isinstance(outputs, Tensor) else outputs)).backward()
    torch.compiler.reset()
    return graphs


def _compile(graph: fx.GraphModule, inputs: Sequence[Any], is_backward: bool) -> Graph:
    graph = copy.deepcopy(graph)
    for node in graph.graph.nodes:
        if node.kwargs.get("device"):
            node.update_kwarg("device", GPU)
        node.args = tuple(GPU if isinstance(argument, torch.device) else argument for argument in node.args)
    view_to_reshape(graph)  # as the compiler will; a convolution on a GPU may lay out its output in another way than on a CPU
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        moved = [
            torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=GPU) if isinstance(x, Tensor) else x for x in inputs
        ]
    gradients = [x for node, x in zip(graph.graph.nodes, moved, strict=False) if node.name.startswith("tangents")]
    given = sum(x.numel() * x.element_size() for x in gradients)  # by the loss; the compiler takes them as never freed
    compiled: list[Graph] = []

    def instead_of_loading(lowering: GraphLowering) -> Any:
        code = lowering.codegen()[0]
        code = getattr(code, "value", code)  # with the lines that it came from in newer versions, without in older ones
        compiled.append(Graph(code.count("@triton.jit"), given + _peak_bytes(lowering)))
        raise _CompiledError

    with ExitStack() as contexts:
        contexts.enter_context(_named_gpu())
        contexts.enter_context(patch.object(GraphLowering, "compile_to_module", instead_of_loading))
        contexts.enter_context(torch._guards.tracing(torch._guards.TracingContext(mode)))
        FakeTensorProp(graph, mode).propagate_dont_convert_inputs(*moved)
        try:
            compile_fx_inner(graph, moved, is_backward=is_backward)
        except Exception:  # the compiler wraps what it meets
            if not compiled:
                raise
    return compiled[0]


class _CompiledError(Exception):
    """All the code is written."""


def _peak_bytes(lowering: GraphLowering) -> int:
    scheduler, inputs = lowering.scheduler, OrderedSet(lowering.graph_inputs)
    outputs = OrderedSet(lowering.get_output_names())
    _, freeable = prepare_planning_info(
        scheduler.nodes, scheduler.name_to_buf, scheduler.name_to_fused_node, inputs, outputs
    )  # its own peak takes outputs as freed at once in torch 2.11
    buffers, _, _ = compute_memory_timeline(scheduler.nodes, freeable, outputs)
    changes = [0] * (len(scheduler.nodes) + 1)
    for buffer in buffers:
        changes[buffer.start_step] += buffer.size_alloc
        if buffer.end_step != -1:  # that of an output
            changes[buffer.end_step + 1] -= buffer.size_free
    return max(accumulate(changes))


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
        # fallback_random: traced on a CPU, a step draws random numbers as a CPU does
        contexts.enter_context(inductor.patch(compile_threads=1, fx_graph_cache=False, fallback_random=True))
        yield


def _answering(answer: Any) -> Any:
    return staticmethod(lambda *_, **__: answer)
