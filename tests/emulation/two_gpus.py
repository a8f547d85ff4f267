"""Two processes that work together as two GPUs do under nnU-Net."""

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed
import torch.multiprocessing
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_ext.memory.autocast import cuda_autocast_rules
from tests.emulation.sync_batch_norm import sync_batch_norm_on_cpu
from tests.processes import fork_server

PROCESSES = 2
PATIENCE = timedelta(minutes=5)
"""after which a process that waits for another gives up"""


def on_two_gpus(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """``function(rank, *arguments)`` in each of two processes of one group; what they return.

    SyncBatchNorm works there, and ``torch.autocast("cpu")`` follows CUDA's rules. An error in either is raised here.

    Args:
        function: of a module's top level, so that the processes can import it.
        arguments: picklable.
    """
    fork_server()
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.start_processes(_work, (folder, function, arguments), nprocs=PROCESSES, start_method="forkserver")
        return [torch.load(Path(folder, str(rank)), weights_only=False) for rank in range(PROCESSES)]


def as_nnunet_does(network: nn.Module, backend: str | None = None) -> nn.Module:
    """A network set up for several GPUs in the order of nnU-Net: compiled, its BatchNorm synchronised, distributed."""
    model = network if backend is None else torch.compile(network, backend=backend)
    return DistributedDataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(model))


def _work(rank: int, folder: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    with ExitStack() as stack:
        stack.enter_context(cuda_autocast_rules())
        stack.enter_context(sync_batch_norm_on_cpu())
        store = torch.distributed.FileStore(os.path.join(folder, "store"), PROCESSES)
        torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=PROCESSES, timeout=PATIENCE)
        torch.save(function(rank, *arguments), Path(folder, str(rank)))
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
