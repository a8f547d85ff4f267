"""``nnUNetv2_ext sweep``"""

import os
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunetv2_ext.cli.multi_value_options import MultiValueCommand, fold_name

if TYPE_CHECKING:
    from rich.console import Console
    from submitit import AutoExecutor

    from nnunetv2_ext.sweeping.queue import Progress, Queue
    from nnunetv2_ext.sweeping.training import Training

MINUTES_OF_A_LOCAL_JOB = 10 * 365 * 24 * 60  # submitit ends it after that
MINUTES_OF_A_SLURM_JOB = 24 * 60
TIMES_A_SLURM_JOB_MAY_BE_CONTINUED = 100


@click.command(
    cls=MultiValueCommand,
    epilog="Example: nnUNetv2_ext sweep -d 4 -c 3d_fullres -tr nnUNetTrainer nnUNetTrainerEGE -f 0 1 2 3 4 --jobs 2",
)
@click.option("-d", "--dataset", required=True, help="Id or name of a dataset that is preprocessed.")
@click.option("-c", "--configurations", multiple=True, default=("3d_fullres",), show_default=True, help="One or more.")
@click.option("-tr", "--trainers", multiple=True, required=True, help="One or more, ours or any that nnU-Net finds.")
@click.option("-p", "--plans", default="nnUNetPlans", show_default=True, help="Name of the plans.")
@click.option("-f", "--folds", multiple=True, default=("0", "1", "2", "3", "4"), help="One or more, or all. Default: 0 1 2 3 4")
@click.option("--repeats", default=1, show_default=True, type=click.IntRange(min=1), help="How often each fold is trained.")
@click.option(
    "--jobs", type=click.IntRange(min=1), help="How many at once. Default: one per GPU; on SLURM as many as it starts."
)
@click.option("--device", type=click.Choice(["cuda", "cpu", "mps"]), help="Default: cuda if there is a GPU or SLURM, else cpu.")
@click.option("--npz", is_flag=True, help="Also save the probabilities of the validation cases, as nnUNetv2_train --npz.")
@click.option("--slurm", is_flag=True, help="Submit to SLURM instead of running on this machine.")
@click.option(
    "--slurm-option", "slurm_options", multiple=True, metavar="KEY=VALUE", help="An option of submitit: partition=gpu"
)
@click.option("--dry-run", is_flag=True, help="Print the commands and run nothing.")
@click.pass_context
def sweep(
    context: click.Context,
    dataset: str,
    configurations: tuple[str, ...],
    trainers: tuple[str, ...],
    plans: str,
    folds: tuple[str, ...],
    repeats: int,
    jobs: int | None,
    device: str | None,
    npz: bool,
    slurm: bool,
    slurm_options: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Train many: trainers x configurations x folds x repeats.

    Each is one run of the stock nnUNetv2_train. What is finished is skipped, what was cut off continues, and when one fails
    the others go on, so the same command again does what is left. Repeat 1 of a fold is trained into
    $nnUNet_results/repeat_1, and so on. Logs are in $nnUNet_results/sweep. Exit code 1 if a training failed.
    """
    folds = tuple(map(fold_name, folds))
    options = _slurm_options(slurm_options, slurm)

    from rich.console import Console

    from nnunetv2_ext.datasets import check_writable
    from nnunetv2_ext.runs import State
    from nnunetv2_ext.sweeping.grid import runs_needed_by, runs_of_grid, write_split
    from nnunetv2_ext.sweeping.training import Training

    console = Console(stderr=True, highlight=False)
    with console.status("Looking for trainers and data"):
        runs = runs_of_grid(dataset, trainers, plans, configurations, folds, repeats)
        gpus = [] if slurm or device in ("cpu", "mps") else _gpus()
    device = device or ("cuda" if gpus or slurm else "cpu")
    if device == "cuda" and not (gpus or slurm):
        raise click.UsageError("there is no GPU here; add --device cpu, or --slurm where a cluster has one")
    log_folder = runs[0].results / "sweep" / runs[0].dataset
    trainings = [Training(run, device, npz, log_folder) for run in runs]
    todo = [training for training in trainings if training.state() is not State.FINISHED]
    if dry_run:
        _print_commands(trainings)
        return
    at_once = jobs or (len(gpus) if gpus else len(runs) if slurm else 1)
    console.print(f"{len(runs)} runs: {len(runs) - len(todo)} are finished, {len(todo)} to do, {at_once} at once on {device}")
    if not todo:
        return
    for folder in (log_folder, *(training.run.folder for training in todo)):
        check_writable(folder)
    for run in runs:
        run.root.mkdir(exist_ok=True)
        write_split(run)

    from nnunetv2_ext.sweeping.queue import Queue

    needed = {training.run: runs_needed_by(training.run, [other.run for other in todo]) for training in todo}
    queue = Queue(_executor(log_folder, slurm, device, options), at_once=at_once, gpus=gpus, needed=needed)
    progress = _train(queue, todo, console, len(runs) - len(todo))
    if progress is None:
        context.exit(130)
    console.print(f"{len(progress.done)} done, {len(progress.failed)} failed.")
    context.exit(bool(progress.failed))


def _train(queue: "Queue", todo: "list[Training]", console: "Console", finished: int) -> "Progress | None":
    """Trains what is to do and shows it; None if it was interrupted."""
    from nnunetv2_ext.sweeping.display import Display

    # 'kill' ends the trainings as Ctrl-C does. Both are handled, also where a shell started us in the background with SIGINT
    # ignored: the jobs would ignore it, too, and could not be ended.
    handlers = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Display(console, finished) as display:
            return queue.train(todo, display)
    except KeyboardInterrupt:
        console.print("Stopped; nothing is left running. The same command continues.")
        return None
    finally:  # a program that goes on may start processes of its own, which a SIGTERM has to end
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _slurm_options(options: tuple[str, ...], slurm: bool) -> dict[str, Any]:
    if options and not slurm:
        raise click.UsageError("--slurm-option needs --slurm")
    pairs = [option.partition("=") for option in options]
    for key, equals, value in pairs:
        if not (key and equals and value):
            raise click.BadParameter(f"{key!r} is not of the form KEY=VALUE", param_hint="--slurm-option")
    return {f"slurm_{key}": int(value) if value.isdecimal() else value for key, _, value in pairs}


def _gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may be, one GPU each."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]


def _executor(log_folder: Path, slurm: bool, device: str, options: dict[str, Any]) -> "AutoExecutor":
    from submitit import AutoExecutor

    if not slurm:
        executor = AutoExecutor(log_folder / "submitit", cluster="local")
        executor.update_parameters(timeout_min=MINUTES_OF_A_LOCAL_JOB)
        return executor
    try:
        executor = AutoExecutor(
            log_folder / "submitit", cluster="slurm", slurm_max_num_timeout=TIMES_A_SLURM_JOB_MAY_BE_CONTINUED
        )
        executor.update_parameters(timeout_min=MINUTES_OF_A_SLURM_JOB, gpus_per_node=int(device == "cuda"), **options)
    except (RuntimeError, ValueError, NameError) as error:  # no srun here; an option that submitit doesn't know
        raise click.UsageError(str(error)) from error
    return executor


def _print_commands(trainings: "list[Training]") -> None:
    from nnunetv2_ext.runs import State

    for training in trainings:
        state = training.state()
        if state is State.FINISHED:
            click.echo(f"# finished: {training.run.folder}")
        else:
            variables = [f"{name}={shlex.quote(value)}" for name, value in training.environment().items()]
            click.echo(" ".join([*variables, shlex.join(training.arguments(state))]))
