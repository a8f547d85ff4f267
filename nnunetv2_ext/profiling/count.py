"""What can be counted without running: parameters, operations of the forward, and the memory of a training step."""

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from nnunetv2_ext.memory.step import Precision, step_memory
from nnunetv2_ext.memory.weightless import without_weights
from nnunetv2_ext.profiling.case import Case


class Counts(NamedTuple):
    """Costs of a network that hold on any device."""

    parameters: int
    gmacs: float
    """multiply-adds of a forward at batch 1, in 10^9; those of convolutions and matrix products"""
    gflops: float
    """the same as operations, two per multiply-add"""
    batch_gflops: float
    """operations of a forward of the whole batch"""
    peak_bytes: int
    """the most that is alive during a training step of the whole batch, without weights, input and optimizer"""
    kept_bytes: int
    """what of it the forward keeps for the backward"""
    batch_size: int
    """the plan's, or the one in the trainer's name"""


def count(trainer: str, case: Case, precision: Precision = "autocast") -> Counts:
    """Counts on the ``meta`` device, where nothing is computed.

    Args:
        trainer: whose network is counted.
        case: the configuration.
        precision: what the training step is counted in, float16 autocast or float32; the step isn't compiled.
    """
    network = without_weights(lambda: case.network(trainer))
    batch = torch.zeros(case.input_shape, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(batch[:1])
    operations = counter.get_total_flops()
    memory = step_memory(network, batch, precision=precision)
    return Counts(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gmacs=operations / 2e9,
        gflops=operations / 1e9,
        batch_gflops=operations * len(batch) / 1e9,
        peak_bytes=memory.peak,
        kept_bytes=memory.kept,
        batch_size=len(batch),
    )
