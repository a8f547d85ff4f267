"""What a compiled training step keeps for its backward, without compiling it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from functorch.compile import min_cut_rematerialization_partition
from torch import Tensor, fx, nn
from torch._dynamo.backends.common import aot_autograd
from torch._inductor.decomposition import select_decomp_table
from torch._subclasses import FakeTensorMode

from nnunetv2_ext.memory.autocast import cuda_autocast_rules
from nnunetv2_ext.memory.gpu_paths import gpu_paths
from nnunetv2_ext.memory.step import Precision


def kept_when_compiled(build: Callable[[], nn.Module], input_shape: Sequence[int], precision: Precision = "autocast") -> int:
    """Bytes that the forward of a compiled network keeps for the backward, its outputs included, weights not.

    The compiler's own first half splits the step into forward and backward and decides what to keep. No code is generated, and
    the tensors have a size but no values, so nothing is computed. They claim to be on the CPU, because on the ``meta``
    device a compiler finds no gradient of PReLU. Seen to work with torch 2.14, and not with 2.6.

    Args:
        build: makes the network, in training mode.
        input_shape: of a batch.
        precision: ``"autocast"``, float16 by CUDA's rules, or ``"float32"``.
    """
    forwards: list[fx.GraphModule] = []

    def keep(graph: fx.GraphModule, _: Sequence[Any]) -> Any:
        forwards.append(graph)
        return graph.forward

    backend = aot_autograd(
        fw_compiler=keep, decompositions=select_decomp_table(), partition_fn=min_cut_rematerialization_partition
    )
    torch.compiler.reset()
    half = precision == "autocast"
    with gpu_paths(), cuda_autocast_rules(), FakeTensorMode(), torch.autocast("cpu", torch.float16, enabled=half):
        torch.compile(build(), backend=backend, fullgraph=True)(torch.empty(input_shape))
    torch.compiler.reset()
    return sum(_bytes_kept(graph) for graph in forwards)


def _bytes_kept(graph: fx.GraphModule) -> int:
    outputs = {node for node in graph.graph.output_node().all_input_nodes if node.op != "placeholder"}
    values = [node.meta["val"] for node in outputs]
    return sum(value.numel() * value.element_size() for value in values if isinstance(value, Tensor))
