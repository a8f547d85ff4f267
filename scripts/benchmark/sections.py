"""The measurements, one function per section of the record."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import adan_pytorch
import torch
from torch import nn

from nnunetv2_ext.architectures import EGE
from nnunetv2_ext.memory.step import PRECISIONS, step_memory
from nnunetv2_ext.memory.weightless import without_weights
from nnunetv2_ext.presets import OURS
from nnunetv2_ext.profiling.case import Case, case_of_patch
from nnunetv2_ext.profiling.compiled import kept_when_compiled
from nnunetv2_ext.profiling.timing import fastest_kernels, training_step
from nnunetv2_ext.trainers.adan import Adan
from nnunetv2_ext.trainers.names import PREFIX
from scripts.benchmark.checks import LIMITS, check_light, check_mode, half_precision_errors
from scripts.benchmark.kernels import kernels
from scripts.benchmark.networks import FULL, HIPPOCAMPUS_SIZE, MODES, STOCK, TINY, Build, Size, in_each_mode, light, plan
from scripts.benchmark.prediction import prediction
from scripts.benchmark.record import Record
from scripts.benchmark.steps import (
    inference,
    peak_of,
    problem,
    recorded_failure,
    seconds_of,
    slowest_operations,
    take_turns,
)
from scripts.benchmark.traffic import step_traffic
from tests.plans import CONFIGURATIONS

GIB = 2**30
PRESETS = [preset.name for preset in OURS]
NETWORKS = ("", "EGE", "MBTFEEAB", "EGEUNet", "AxialUNet", "LoGo", "MedT", "MCANet")
"""stock and the published networks, without ablations"""
SLOWEST = 12
"""of the operations of a step"""
EGE_FAMILY = ("", "EGE", "MBTFEEAB")
"""those that are also measured in each mode of recomputation, beside stock"""


@dataclass(frozen=True)
class Settings:
    """How it is measured."""

    device: torch.device
    tiny: bool
    rounds: int
    backend: str
    """of torch.compile; nothing is compiled if it is empty"""

    @property
    def size(self) -> Size:
        return TINY if self.tiny else FULL[self.device.type]

    def build(self, build: Build) -> nn.Module:
        """The network, made on the device: to draw its first weights on a CPU takes seconds."""
        with self.device:
            return build().to(self.device).train()

    @property
    def case(self) -> Case:
        """nnU-Net's plan of the patch on which its networks are usually trained."""
        case = case_of_patch([32 if self.tiny else 128] * 3, channels=1, classes=2, batch_size=2)
        if self.tiny:
            arguments = case.configuration.network_arch_init_kwargs
            arguments["features_per_stage"] = [8 if stage == 0 else 16 for stage in range(arguments["n_stages"])]
        return case


def correctness(record: Record, settings: Settings) -> None:
    """Every preset in mixed precision on the device against float32 on the CPU."""
    plans = ("2d",) if settings.tiny else tuple(CONFIGURATIONS)
    _compare(record, settings, [(preset, name, "") for name, preset in product(plans, PRESETS)])


def compiled(record: Record, settings: Settings) -> None:
    """Compiled networks: memory, correctness of the published ones in 3D, time, correctness of the ablations in 2D."""
    if not settings.backend:
        return
    published = [(preset, "3d", settings.backend) for preset in NETWORKS[1:]]
    ablations = [(preset, "2d", settings.backend) for preset in PRESETS if preset not in NETWORKS]
    _peaks(record, settings, compiled=True)
    _compare(record, settings, published[:1] if settings.tiny else published)
    _time_compiled_modes(record, settings)
    _compare(record, settings, [] if settings.tiny else ablations)


def _compare(record: Record, settings: Settings, jobs: list[tuple[str, str, str]]) -> None:
    """Jobs are presets, plans and compilers."""
    for preset, name, backend, errors in _at_once(partial(_errors, settings.device), jobs, record):
        row = {"preset": preset, "compiled": bool(backend)}
        if isinstance(errors, str):
            record.write("correctness", "problem", f"{name}: {errors}", **row)
            continue
        for figure, error in errors.items():
            record.write("correctness", f"{figure}, {name}", error, **row)
            if not error < LIMITS[figure]:
                reason = f"{name}: {figure} differ by {error:.2g}, allowed is {LIMITS[figure]}"
                record.write("correctness", "problem", reason, **row)


def _errors(device: torch.device, job: tuple[str, str, str]) -> tuple[str, str, str, dict[str, float] | str]:
    preset, name, backend = job
    try:
        return preset, name, backend, half_precision_errors(preset, name, device, backend)
    except Exception as error:  # whatever a network, a compiler or a driver raises
        return preset, name, backend, problem(error)


def memory(record: Record, settings: Settings) -> None:
    """The memory of a training step of stock and the published networks, counted, which is the same on every machine."""
    case = settings.case
    for preset in NETWORKS:
        row = {"network": preset or "stock"}
        with recorded_failure(record, "memory", **row):
            network = without_weights(partial(case.network, PREFIX + preset))
            batch = torch.zeros(case.input_shape, device="meta")
            for precision, name in PRECISIONS.items():
                record.write("memory", f"{name}_gib", step_memory(network, batch, precision=precision).peak / GIB, **row)
            kept = kept_when_compiled(partial(case.network, PREFIX + preset), case.input_shape)
            record.write("memory", "kept_compiled_gib", kept / GIB, **row)


def peak(record: Record, settings: Settings) -> None:
    """What the planner's estimate counts, and what a step really takes, of stock and the published networks."""
    _peaks(record, settings, compiled=False)


def _peaks(record: Record, settings: Settings, *, compiled: bool) -> None:
    for row, figures in _at_once(partial(_peak, settings, compiled), NETWORKS, record):
        for figure, value in figures.items():
            record.write("peak", figure, value, **row)


def _peak(settings: Settings, compiled: bool, preset: str) -> tuple[dict[str, Any], dict[str, float | str]]:
    build, shape = partial(settings.case.network, PREFIX + preset), settings.case.input_shape
    row = {"network": preset or "stock", "compiled": compiled}
    try:
        counted = step_memory(without_weights(build), torch.zeros(shape, device="meta")).peak
        network, batch = settings.build(build), torch.randn(shape, device=settings.device)
        with fastest_kernels():
            step = training_step(network, batch, compiled=compiled, backend=settings.backend)
            first = seconds_of(step)
            measured = peak_of(network, batch, step)
    except Exception as error:  # whatever a network, a compiler or a driver raises
        return row, {"problem": problem(error)}
    finally:
        torch.compiler.reset()  # which lets go of the network
    return row, {
        "counted_gib": counted / GIB,
        "measured_gib": measured / GIB,
        "measured_to_counted": measured / counted,
        "first_step_s": first,
    }


def compiler(record: Record, settings: Settings) -> None:
    """What a compiled step of stock and the published networks takes on a GPU, from the code that the compiler writes."""
    for row, figures in _at_once(partial(_compiled_without_gpu, settings), NETWORKS, record):
        for figure, value in figures.items():
            record.write("compiler", figure, value, **row)


def _compiled_without_gpu(settings: Settings, preset: str) -> tuple[dict[str, Any], dict[str, float | str]]:
    from scripts.benchmark.gpu_compiler import compile_for_gpu  # which needs a newer torch than the rest

    build, shape = partial(settings.case.network, PREFIX + preset), settings.case.input_shape
    row, began = {"network": preset or "stock"}, time.process_time()
    try:
        counted = step_memory(without_weights(build), torch.zeros(shape, device="meta")).peak
        graphs = compile_for_gpu(build, shape)
    except Exception as error:  # whatever a network or a compiler raises
        return row, {"problem": problem(error)}
    compiled = max(graph.peak_bytes for graph in graphs)
    return row, {
        "counted_gib": counted / GIB,
        "compiled_gib": compiled / GIB,
        "compiled_to_counted": compiled / counted,
        "kernels": sum(graph.kernels for graph in graphs),
        "compiler_cpu_s": time.process_time() - began,
    }


def traffic(record: Record, settings: Settings) -> None:
    """How much memory the operations of a step move on a GPU, not compiled; counted, which is the same on every machine."""
    size = TINY if settings.tiny else FULL["cuda"]
    others = {preset: partial(settings.case.network, PREFIX + preset) for preset in NETWORKS if preset not in EGE_FAMILY}
    stock = 0
    for name, build in {**in_each_mode(size), **others}.items():
        shape = settings.case.input_shape if name in others else (size.batch, 1, *size.patch)
        with recorded_failure(record, "traffic", network=name):
            moved, operations = step_traffic(without_weights(build), torch.zeros(shape, device="meta"))
            stock = stock or moved  # the first is the stock network
            figures = {"moved_gib": moved / GIB, "moved_to_stock": moved / stock, "operations": operations}
            for figure, value in figures.items():
                record.write("traffic", figure, value, network=name)


def modes(record: Record, settings: Settings) -> None:
    """A training step of stock networks and of EGE in each mode of recomputation."""
    compiled = (False, True) if settings.backend else (False,)
    checks = [
        (f"{mode}, compiled: {some}", partial(check_mode, settings.device, mode, some))
        for mode, some in product(MODES, compiled)
    ]
    for name, reason in _at_once(_reason_of_failure, checks, record):
        if reason:
            raise RuntimeError(f"{name}: {reason}")
    _time(record, "modes", in_each_mode(settings.size), settings.size, settings)


def networks(record: Record, settings: Settings) -> None:
    """A training step of stock and the published networks as their presets build them, not compiled."""
    size = settings.size
    case = case_of_patch(list(size.patch), channels=1, classes=2, batch_size=size.batch)
    builders = {preset or STOCK: partial(case.network, PREFIX + preset) for preset in NETWORKS}
    _time(record, "networks", builders, size, settings)


def kernels_by_layout(record: Record, settings: Settings) -> None:
    """Depthwise convolutions and layer norms as GAB needs them, by layout."""
    take_turns(record, "kernels", list(kernels(settings.device, settings.size.patch, settings.size.batch)), settings.rounds)


def operations(record: Record, settings: Settings) -> None:
    """Where the time of a step goes, not compiled: the slowest operations of stock and of EGE."""
    builders, batch = in_each_mode(settings.size), settings.size.batch_on(settings.device)
    for name in (STOCK, "EGE, none", "EGE, full"):
        with recorded_failure(record, "operations", network=name):
            step = training_step(settings.build(builders[name]), batch)
            for operation in slowest_operations(step, settings.device, SLOWEST):
                row = {"network": name, "operation": operation.name}
                record.write("operations", "milliseconds", operation.milliseconds, **row)
                record.write("operations", "calls", operation.calls, **row)


def _time_compiled_modes(record: Record, settings: Settings) -> None:
    builders = in_each_mode(settings.size)
    compile_each = [(name, partial(_compile, settings, build)) for name, build in builders.items()]
    for name, reason in _at_once(_reason_of_failure, compile_each, record):
        if reason:
            record.write("modes", "problem", reason, network=name, compiled=True)
            del builders[name]
    if not record.time_is_up:
        _time(record, "modes", builders, settings.size, settings, compiled=True)


def _compile(settings: Settings, build: Build) -> None:
    """Fills the compiler's cache, from which the process that times the network takes it."""
    network, batch = settings.build(build), settings.size.batch_on(settings.device)
    with fastest_kernels():
        training_step(network, batch, compiled=True, backend=settings.backend)()


def _reason_of_failure(job: tuple[str, Callable[[], None]]) -> tuple[str, str]:
    """Name and what went wrong, if anything did."""
    name, action = job
    try:
        action()
    except Exception as error:  # whatever a network, a compiler or a driver raises
        return name, problem(error)
    finally:
        torch.compiler.reset()  # which lets go of the network
    return name, ""


def light_network(record: Record, settings: Settings) -> None:
    """The light network beside stock on the plan of the Hippocampus dataset: a training step, and inference."""
    check_light(settings.device)
    threads = torch.get_num_threads()
    for some in sorted({threads, os.cpu_count() or 1}) if settings.device.type == "cpu" else (threads,):
        torch.set_num_threads(some)
        _time_light(record, settings, {"threads": some})
    torch.set_num_threads(threads)


def _time_light(record: Record, settings: Settings, row: dict[str, Any]) -> None:
    size = TINY if settings.tiny else HIPPOCAMPUS_SIZE
    for compiled in (False, True) if settings.backend else (False,):
        _time(record, "light", light(size), size, settings, compiled=compiled, what="step", **row)
    batch = size.batch_on(settings.device)
    networks = {name: settings.build(build) for name, build in light(size).items()}
    rows = {name: {"network": name, "compiled": False, "what": "inference", **row} for name in networks}
    take_turns(record, "light", [(rows[name], inference(net, batch)) for name, net in networks.items()], settings.rounds)


def optimizers(record: Record, settings: Settings) -> None:
    """A step of each optimizer on the parameters of EGE, with gradients that are there."""
    parameters = list(EGE(**plan(settings.size.features)).to(settings.device).parameters())
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter) * 1e-3
    candidates: dict[str, torch.optim.Optimizer] = {
        "AdamW (torch)": torch.optim.AdamW(parameters, lr=1e-6),
        "Adan (adan-pytorch)": adan_pytorch.Adan(parameters, lr=1e-6),
        "Adan (ours)": Adan(parameters, lr=1e-6),
    }
    for optimizer in candidates.values():
        optimizer.step()  # the first of ours is shorter
    take_turns(record, "optimizers", [({"optimizer": name}, o.step) for name, o in candidates.items()], settings.rounds)


def prediction_on_a_cpu(record: Record, settings: Settings) -> None:
    """Exported models beside nnUNetv2_predict, on the CPU."""
    prediction(record, tiny=settings.tiny, rounds=settings.rounds)


MEASURED: dict[str, Callable[[Record, Settings], None]] = {
    "light": light_network,  # before what leaves the process large, which slows many short operations down
    "correctness": correctness,
    "peak": peak,
    "modes": modes,
    "networks": networks,
    "kernels": kernels_by_layout,
    "operations": operations,
    "prediction": prediction_on_a_cpu,
    "optimizers": optimizers,
    "memory": memory,
    "compiled": compiled,
}
SECTIONS = {**MEASURED, "compiler": compiler, "traffic": traffic}


def _at_once(function: Callable[[Any], Any], jobs: Sequence[Any], record: Record) -> Iterator[Any]:
    """What the function gives for each job, as they are done, by several processes at once: to compile takes a minute."""
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "2")
    workers = max(1, min(8, (os.cpu_count() or 1) // 2))
    with multiprocessing.get_context("spawn").Pool(workers, torch.set_num_threads, (1,)) as pool:
        for result in pool.imap_unordered(function, jobs):
            yield result
            if record.time_is_up:
                break  # leaving the pool ends what is running


def _time(
    record: Record,
    section: str,
    builders: Mapping[str, Build],
    size: Size,
    settings: Settings,
    *,
    compiled: bool = False,
    **others: Any,
) -> None:
    """Times a training step of each network; ``others`` are further columns of the table."""
    batch, actions = size.batch_on(settings.device), []
    for name, build in builders.items():
        step = training_step(settings.build(build), batch, compiled=compiled, backend=settings.backend)
        actions.append(({"network": name, "compiled": compiled, **others}, step))
    take_turns(record, section, actions, settings.rounds)
    torch.compiler.reset()
