"""Time and memory of what this package computes in another way than it is written, beside stock networks.

    python scripts/benchmark.py

One process; what is compared takes turns. Nothing is timed before it was checked to equal the plain operations. Writes
docs/performance.json (performance-gpu.json on a GPU) and the tables of docs/performance.md.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import adan_pytorch
import click
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from nnunetv2_ext.architectures import EGE, EGEUNet
from nnunetv2_ext.architectures.recompute.modes import Recompute
from nnunetv2_ext.memory.step import step_memory
from nnunetv2_ext.planning.stock import stock_architecture, stock_arguments
from nnunetv2_ext.profiling.case import case_of_patch
from nnunetv2_ext.profiling.compiled import kept_when_compiled
from nnunetv2_ext.profiling.count import count
from nnunetv2_ext.trainers.adan import Adan
from nnunetv2_ext.trainers.names import PREFIX

DOCS = Path(__file__).parent.parent / "docs"
PACKAGES = ("torch", "nnunetv2", "dynamic-network-architectures", "adan-pytorch", "timm", "nnunetv2-ext")
MODES: tuple[Recompute, ...] = ("none", "selective", "full")
PARTS: dict[str, dict[str, Any]] = {"MBTFE + EAB": {"ghpa_stages": [], "gab": False}, "EGE": {}}
WIDE = [32, 64, 128, 256, 320, 320]
HIPPOCAMPUS = (40, 56, 40)
LIGHT = {"PlainConvUNet": PlainConvUNet, "EGEUNet": EGEUNet}
ATTENTION = ("AxialUNet", "GatedAxialUNet", "LoGo", "MedT", "MCANet")
MIB = 2**20

Row = dict[str, Any]
Seconds = dict[str, list[float]]


def plan(features: list[int]) -> dict[str, Any]:
    """The arguments of PlainConvUNet as the host plans them for isotropic volumes."""
    stages = len(features)
    strides = [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1)
    architecture = stock_architecture(features, strides=strides, kernel_sizes=[[3, 3, 3]] * stages)
    return dict(stock_arguments(architecture, input_channels=1, num_classes=3))


def residual(arguments: dict[str, Any]) -> nn.Module:
    """The host's ResEncUNet with its blocks per stage, on the same plan."""
    stages = arguments["n_stages"]
    others = {name: value for name, value in arguments.items() if name != "n_conv_per_stage"}
    others["n_conv_per_stage_decoder"] = [1] * (stages - 1)
    return ResidualEncoderUNet(n_blocks_per_stage=[1, 3, 4, 6, 6, 6][:stages], **others)


def loss_of(network: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([output.float().square().mean() for output in network(x)]).sum()


def step(network: nn.Module, x: Tensor) -> None:
    """Forward and backward, on a GPU in the host's mixed precision."""
    gpu = x.device.type == "cuda"
    network.zero_grad(set_to_none=True)
    with torch.autocast(x.device.type, dtype=torch.float16, enabled=gpu):
        loss = loss_of(network, x)
    (loss * (1024 if gpu else 1)).backward()
    network.zero_grad(set_to_none=True)


@torch.inference_mode()
def inference(network: nn.Module, x: Tensor) -> None:
    with torch.autocast(x.device.type, dtype=torch.float16, enabled=x.device.type == "cuda"):
        network(x)


def seconds_of(title: str, actions: Mapping[str, Callable[[], None]], rounds: int, repeat: int = 1) -> Seconds:
    """Seconds of each action, which take turns; ``repeat`` times each, for short ones. The first round is not counted."""
    gpu = torch.cuda.is_available()
    found: Seconds = {name: [] for name in actions}
    for number in track(range(rounds + 1), title, console=Console(stderr=True)):
        for name, action in actions.items():
            for _ in range(repeat):
                if gpu:
                    torch.cuda.synchronize()
                began = time.perf_counter()
                action()
                if gpu:
                    torch.cuda.synchronize()
                if number:
                    found[name].append(time.perf_counter() - began)
    return found


def timed(name: str, seconds: Seconds, stock: str) -> Row:
    """Median, its ratio to stock's, and the range."""
    median, of_stock = (statistics.median(seconds[key]) for key in (name, stock))
    return {"seconds": median, "ratio": median / of_stock, "fastest": min(seconds[name]), "slowest": max(seconds[name])}


def everything(network: nn.Module, run: Callable[[Tensor], list[Tensor]], x: Tensor) -> list[Tensor]:
    """What a step leaves behind: outputs, gradients, running statistics."""
    network.zero_grad(set_to_none=True)
    outputs = run(x)
    sum((o * torch.linspace(-1, 1, o.numel(), dtype=o.dtype).view_as(o)).sum() for o in outputs).backward()
    return [*outputs, *(parameter.grad for parameter in network.parameters()), *(b.clone() for b in network.buffers())]


def check_forms() -> None:
    """Raises unless every mode of recomputation gives the outputs of "none", gradients and running statistics, in float64."""
    x, arguments = torch.randn(1, 1, 16, 16, 16, dtype=torch.float64), plan([6, 8, 10, 12])
    for parts in PARTS.values():
        weights = EGE(**parts, **arguments).double().state_dict()
        results = []
        for recompute, compiled in product(MODES, (False, True)):
            network = EGE(recompute=recompute, **parts, **arguments).double()
            network.load_state_dict(weights)
            run = torch.compile(network, backend="aot_eager") if compiled else network
            results.append(everything(network, run, x))
        for other in results[1:]:
            torch.testing.assert_close(other, results[0], rtol=1e-8, atol=1e-8)
    torch.compiler.reset()


def check_light() -> None:
    """Raises unless the light network as a processor computes it equals its plain operations, in float64."""
    x = torch.randn(2, 1, *HIPPOCAMPUS, dtype=torch.float64)  # as it is timed: what is done in another way depends on the size
    network = EGEUNet(**plan(WIDE[:4])).double()
    plain = torch.compile(network, backend="eager")  # a compiler gets the plain operations
    expected = everything(network, plain, x)
    torch.testing.assert_close(everything(network, network, x), expected, rtol=1e-8, atol=1e-8)
    network.eval()
    with torch.inference_mode():
        for _ in range(2):  # again with the maps that the first time remembered
            outputs = network(x)
            torch.testing.assert_close(outputs, expected[: len(outputs)], rtol=1e-8, atol=1e-8)
    torch.compiler.reset()


def forms(rounds: int, size: int, batch: int, device: str) -> list[Row]:
    """A training step of stock networks and of EGE in each mode of recomputation; on a GPU also compiled, as the host does."""
    check_forms()
    arguments, gpu = plan(WIDE), device == "cuda"
    builders: dict[str, Callable[[], nn.Module]] = {
        "PlainConvUNet": lambda: PlainConvUNet(**arguments),
        "ResidualEncoderUNet M": lambda: residual(arguments),
    }
    for name, parts in PARTS.items():
        for recompute in MODES:
            builders[f"{name}, {recompute}"] = partial(EGE, recompute=recompute, **parts, **arguments)
    x = torch.randn(batch, 1, size, size, size, device=device)
    rows: dict[str, Row] = {}
    actions: dict[str, Callable[[], None]] = {}
    for name, build in builders.items():
        row = counted(build, x.to("meta"))
        network = build().to(device).train()
        variants = {name: network}
        if gpu:
            variants[f"{name}, compiled"] = torch.compile(network)
        for variant, module in variants.items():
            rows[variant], actions[variant] = {"network": variant, **row}, partial(step, module, x)
    if gpu:
        for variant, action in actions.items():
            rows[variant]["measured_peak_mib"] = measured_peak(action)
    seconds = seconds_of("forms", actions, rounds)
    stock = "PlainConvUNet, compiled" if gpu else "PlainConvUNet"
    return [row | timed(variant, seconds, stock) for variant, row in rows.items()]


def counted(build: Callable[[], nn.Module], x: Tensor) -> Row:
    """Parameters and memory of a step, without running it."""
    with torch.device("meta"):
        network = build()
    parameters, memory = sum(parameter.numel() for parameter in network.parameters()), step_memory(network, x)
    return {
        "parameters": parameters,
        "kept_mib": memory.kept / MIB,
        "activations_mib": memory.activations / MIB,
        "peak_mib": memory.peak / MIB,
        "peak_less_gradients_mib": (memory.peak - parameters * x.element_size()) / MIB,
        "kept_compiled_mib": kept_when_compiled(build, x.shape) / MIB,
    }


def measured_peak(action: Callable[[], None]) -> float:
    """MiB that an action allocates at most on the GPU, warmed up before."""
    action()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    action()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / MIB


def light(rounds: int, device: str) -> list[Row]:
    """EGEUNet beside stock on the Hippocampus plan: a training step, and inference; on a CPU also on all cores."""
    check_light()
    arguments, x = plan(WIDE[:4]), torch.randn(2, 1, *HIPPOCAMPUS, device=device)
    networks = {name: build(**arguments).to(device) for name, build in LIGHT.items()}
    threads = torch.get_num_threads()
    choices = {threads, os.cpu_count() or 1} if device == "cpu" else {threads}
    rows: list[Row] = []
    for some, (what, action) in product(sorted(choices), (("step", step), ("inference", inference))):
        torch.set_num_threads(some)
        for network in networks.values():
            network.train(what == "step").decoder.deep_supervision = what == "step"
        actions = {name: partial(action, network, x) for name, network in networks.items()}
        seconds = seconds_of(f"light: {what}, threads: {some}", actions, rounds, repeat=4)
        rows += [{"network": name, "what": what, "threads": some, **timed(name, seconds, "PlainConvUNet")} for name in networks]
    torch.set_num_threads(threads)
    return rows


def attention(device: str) -> list[Row]:
    """Memory of a step at the host's ordinary patch, 128x128x128 at batch 2: counted, and on a GPU measured and timed."""
    case = case_of_patch([128, 128, 128], channels=1, classes=2, batch_size=2)
    rows = []
    for name in ("", *ATTENTION):
        counts = count(PREFIX + name, case)
        row = {"network": name or "PlainConvUNet", "parameters": counts.parameters, "peak_gib": counts.peak_bytes / 2**30}
        if device == "cuda":
            network = torch.compile(case.network(PREFIX + name).to(device).train())
            action = partial(step, network, torch.randn(case.input_shape, device=device))
            row["measured_peak_gib"] = measured_peak(action) / 1024
            row["seconds"] = statistics.median(seconds_of(row["network"], {"step": action}, 5)["step"])
            torch._dynamo.reset()
        rows.append(row)
    return rows


def optimizers(rounds: int, device: str) -> list[Row]:
    """A step of each optimizer on the parameters of EGE, with gradients that are there."""
    parameters = list(EGE(**plan(WIDE)).to(device).parameters())
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter) * 1e-3
    candidates = {
        "AdamW (torch)": torch.optim.AdamW(parameters, lr=1e-6),
        "Adan (adan-pytorch)": adan_pytorch.Adan(parameters, lr=1e-6),
        "Adan (ours)": Adan(parameters, lr=1e-6),
    }
    for optimizer in candidates.values():
        optimizer.step()  # the first of ours is shorter
    actions = {name: partial(_step_of, optimizer) for name, optimizer in candidates.items()}
    seconds = seconds_of("optimizers", actions, rounds)
    return [{"optimizer": name, **timed(name, seconds, "AdamW (torch)")} for name in candidates]


def _step_of(optimizer: torch.optim.Optimizer) -> None:
    optimizer.step()


def about(device: str) -> dict[str, Any]:
    """The machine, the versions, the commit and the command."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    git = ("git", "describe", "--always", "--dirty", "--abbrev=12")
    commit = subprocess.run(git, capture_output=True, text=True, cwd=DOCS.parent, check=False)
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else names[0].split(":", 1)[1].strip(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "commit": commit.stdout.strip(),
        "command": " ".join(["python", "scripts/benchmark.py", *sys.argv[1:]]),
    }


def table(rows: list[Row]) -> str:
    """Markdown, with what the rows call their values in the header."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    header = [name.replace("_mib", " [MiB]").replace("_gib", " [GiB]").replace("_", " ") for name in names]
    lines = [header, ["---" if isinstance(rows[0].get(name), str) else "---:" for name in names]]
    lines += [[_cell(row.get(name, "")) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) and value < 100 else f"{value:.0f}" if isinstance(value, float) else value


def write(results: dict[str, list[Row]], where: dict[str, Any], name: str) -> None:
    """Writes docs/NAME.json, and the tables into docs/performance.md, each between its markers."""
    (DOCS / f"{name}.json").write_text(json.dumps({"about": where, "results": results}, indent=1) + "\n")
    page = DOCS / "performance.md"
    text = page.read_text()
    for section, rows in results.items():
        start, end = f"<!-- {name}: {section} -->\n", f"<!-- /{name}: {section} -->"
        before, after = text.split(start)[0], text.split(end)[1]
        text = f"{before}{start}{table(rows)}\n{end}{after}"
    page.write_text(text)


@click.command(epilog="Example: python scripts/benchmark.py --rounds 5 --threads 1")
@click.option("--rounds", default=5, show_default=True, help="Times that each is timed, after one that isn't.")
@click.option("--threads", default=1, show_default=True, help="Threads, on a CPU.")
@click.option("--size", type=int, help="Edge of the patch for the forms; 128 on a GPU, 64 on a CPU by default.")
def main(rounds: int, threads: int, size: int | None) -> None:
    """Times everything on the GPU where there is one, else on the CPU."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(threads)
    usual, batch = (128, 2) if device == "cuda" else (64, 1)
    results = {
        "light": light(rounds, device),  # before what leaves the process large, which slows many short operations down
        "forms": forms(rounds, size or usual, batch, device),
        "attention": attention(device),
        "optimizers": optimizers(rounds, device),
    }
    for section, rows in results.items():
        click.echo(f"\n{section}\n{table(rows)}")
    write(results, about(device), "performance-gpu" if device == "cuda" else "performance")


if __name__ == "__main__":
    main()
