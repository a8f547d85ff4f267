"""Time and memory of a training step: stock networks, and ours in each form. Writes docs/performance.json and the table of
docs/performance.md.

    python scripts/benchmark.py --rounds 5
"""

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import dynamic_network_architectures
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor, nn

from nnunetv2_ext import __version__
from nnunetv2_ext.architectures.ege import EGE
from nnunetv2_ext.planning.memory import step_memory

DOCS = Path(__file__).parent.parent / "docs"
MARKERS = "<!-- benchmark -->", "<!-- /benchmark -->"
FORMS = ("plain", "fast", "frugal")
MIB = 2**20


def plan(features: list[int]) -> dict[str, Any]:
    stages = len(features)
    return {
        "input_channels": 1,
        "num_classes": 2,
        "n_stages": stages,
        "features_per_stage": features,
        "conv_op": nn.Conv3d,
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
        "conv_bias": True,
        "norm_op": nn.InstanceNorm3d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
        "deep_supervision": True,
    }


def residual(**arguments: Any) -> nn.Module:
    """The host's ResEncUNet with its blocks per stage on the same plan."""
    arguments.pop("n_conv_per_stage")
    stages = arguments["n_stages"]
    arguments["n_conv_per_stage_decoder"] = [1] * (stages - 1)
    return ResidualEncoderUNet(n_blocks_per_stage=[1, 3, 4, 6, 6, 6][:stages], **arguments)


NETWORKS: dict[str, Callable[..., nn.Module]] = {"PlainConvUNet": PlainConvUNet, "ResidualEncoderUNet": residual}
PARTS: dict[str, dict[str, Any]] = {"MBTFE + EAB": {"ghpa_stages": [], "gab": False}, "EGE": {}}


def networks(features: list[int]) -> dict[str, Callable[[], nn.Module]]:
    arguments = plan(features)
    rows: dict[str, Callable[[], nn.Module]] = {
        name: lambda build=build: build(**arguments)
        for name, build in NETWORKS.items()  # type: ignore[misc]
    }
    for name, parts in PARTS.items():
        for form in FORMS:
            rows[f"{name}, {form}"] = lambda parts=parts, form=form: EGE(form=form, **parts, **arguments)  # type: ignore[misc]
    return rows


def loss_of(network: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([output.float().square().mean() for output in network(x)]).sum()


def check_equal() -> None:
    """Outputs, gradients and running statistics of one step in float64; raises unless every form gives the plain one's."""
    x = torch.randn(1, 1, 16, 16, 16, dtype=torch.float64)
    rows = networks([6, 8, 10, 12])
    for name in PARTS:
        torch.manual_seed(0)
        plain = rows[f"{name}, plain"]().double().train()
        found = []
        for form in FORMS:
            network = rows[f"{name}, {form}"]().double().train()
            network.load_state_dict(plain.state_dict())
            loss = sum((o * torch.linspace(-1, 1, o.numel(), dtype=o.dtype).view_as(o)).sum() for o in network(x))
            loss.backward()
            found.append([loss, *(p.grad for p in network.parameters()), *network.buffers()])
        for other in found[1:]:
            torch.testing.assert_close(other, found[0], rtol=1e-8, atol=1e-8)


def timed(network: nn.Module, x: Tensor) -> tuple[float, float]:
    """Seconds of a step on the clock, and of the processor's time."""
    gpu = x.device.type == "cuda"
    network.zero_grad(set_to_none=True)
    if gpu:
        torch.cuda.synchronize()
    clock, processor = time.perf_counter(), time.process_time()
    with torch.autocast(x.device.type, dtype=torch.float16, enabled=gpu):
        loss = loss_of(network, x)
    (loss * (1024 if gpu else 1)).backward()
    if gpu:
        torch.cuda.synchronize()
    times = time.perf_counter() - clock, time.process_time() - processor
    network.zero_grad(set_to_none=True)
    return times


def measure(rounds: int, size: int, batch: int, device: str, compiled: bool) -> dict[str, dict[str, Any]]:
    features = [32, 64, 128, 256, 320, 320]
    rows = networks(features)
    meta = torch.zeros(1, 1, size, size, size, device="meta")
    x = torch.randn(batch, 1, size, size, size, device=device)
    results: dict[str, dict[str, Any]] = {}
    built: dict[str, nn.Module] = {}
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("counting and warming up", total=len(rows) * (rounds + 1))
        for name, build in rows.items():
            with torch.device("meta"):
                memory = step_memory(build(), meta)
            network = build().to(device).train()
            built[name] = torch.compile(network) if compiled else network
            results[name] = {
                "parameters": sum(p.numel() for p in network.parameters()),
                "kept_mib": memory.kept / MIB,
                "peak_without_gradients_mib": memory.activations / MIB,
                "peak_mib": memory.peak / MIB,
                "seconds": [],
                "processor_seconds": [],
            }
            if device == "cuda":
                timed(built[name], x)
                torch.cuda.reset_peak_memory_stats()
            timed(built[name], x)
            if device == "cuda":
                results[name]["measured_peak_mib"] = torch.cuda.max_memory_allocated() / MIB
            progress.advance(task)
        progress.update(task, description="timing, interleaved")
        for _ in range(rounds):
            for name, network in built.items():
                clock, processor = timed(network, x)
                results[name]["seconds"].append(clock)
                results[name]["processor_seconds"].append(processor)
                progress.advance(task)
    return results


def machine(device: str) -> dict[str, Any]:
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=DOCS.parent, check=False)
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else cpu,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "dynamic_network_architectures": getattr(dynamic_network_architectures, "__version__", None),
        "nnunetv2_ext": __version__,
        "commit": commit.stdout.strip(),
        "command": " ".join(["python", "scripts/benchmark.py", *sys.argv[1:]]),
    }


HEADER = ("network", "parameters", "kept", "peak*", "peak", "step", "spread", "processor")


def table_rows(results: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    stock = results["PlainConvUNet"]

    def ratio(row: dict[str, Any], key: str) -> str:
        return f"{row[key]:.0f} MiB ({row[key] / stock[key]:.2f}x)"

    def median(row: dict[str, Any], key: str) -> str:
        value = statistics.median(row[key])
        return f"{value:.2f} s ({value / statistics.median(stock[key]):.2f}x)"

    return [
        (
            name,
            f"{row['parameters'] / 1e6:.1f} M",
            ratio(row, "kept_mib"),
            ratio(row, "peak_without_gradients_mib"),
            ratio(row, "peak_mib"),
            median(row, "seconds"),
            f"{min(row['seconds']):.2f} to {max(row['seconds']):.2f}",
            median(row, "processor_seconds"),
        )
        for name, row in results.items()
    ]


def write(results: dict[str, dict[str, Any]], about: dict[str, Any]) -> None:
    (DOCS / "performance.json").write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")
    lines = [HEADER, tuple("---" for _ in HEADER), *table_rows(results)]
    page = DOCS / "performance.md"
    before, rest = page.read_text().split(MARKERS[0])
    after = rest.split(MARKERS[1])[1]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    where = f"{about['device']}, {about['threads']} threads, torch {about['torch']}; `{about['command']}`"
    page.write_text(f"{before}{MARKERS[0]}\n{where}\n\n{text}\n{MARKERS[1]}{after}")


@click.command(epilog="Example: python scripts/benchmark.py --rounds 5 --threads 1")
@click.option("--rounds", default=5, show_default=True, help="Steps of each network that are timed.")
@click.option("--threads", default=1, show_default=True, help="Threads, on a processor.")
@click.option("--size", type=int, help="Edge of the patch; 128 on a GPU, 64 on a processor by default.")
@click.option("--compile/--no-compile", "compiled", default=torch.cuda.is_available(), help="As the host does, on a GPU.")
def main(rounds: int, threads: int, size: int | None, compiled: bool) -> None:
    """Times a training step of each network, interleaved, on the GPU where there is one, else on the processor."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(threads)
    check_equal()
    usual, batch = (128, 2) if device == "cuda" else (64, 1)
    results = measure(rounds, size or usual, batch, device, compiled)
    table = Table(*HEADER)
    for row in table_rows(results):
        table.add_row(*row)
    Console().print(table)
    write(results, machine(device))


if __name__ == "__main__":
    main()
