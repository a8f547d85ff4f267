"""``nnUNetv2_ext inspect``"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunetv2_ext.errors import printable

if TYPE_CHECKING:
    from nnunetv2_ext.inspection.checkpoint import Checkpoint


@click.command(epilog="Example: nnUNetv2_ext inspect fold_0/checkpoint_final.pth")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.pass_context
def inspect(context: click.Context, file: Path, as_json: bool) -> None:
    """Show what a checkpoint or model zip holds, without running anything in it.

    A checkpoint is a program: whoever loads it runs it. This command reads it without importing what it names. Exit code 1 if
    it names something that no checkpoint of nnU-Net's needs, or isn't safe to unpack.
    """
    from nnunetv2_ext.inspection.checkpoint import Checkpoint
    from nnunetv2_ext.inspection.model_zip import inspect_file

    parts = inspect_file(file)
    suspicious = sorted({name for part in parts.values() for name in part.suspicious})
    if as_json:
        rows = [{"member": member, **asdict(part)} for member, part in parts.items()]
        click.echo(json.dumps({"file": str(file), "safe": not suspicious, "parts": rows}, indent=2))
    else:
        for member, part in parts.items():
            _print(f"{file}{f': {member}' if member else ''}")
            if isinstance(part, Checkpoint):
                _print_facts(part)
            _print(f"  would import     {', '.join(part.imports) or 'nothing'}")
        if suspicious:
            _print(
                f"Don't load this file unless you know who made it: it names {', '.join(suspicious)}, which no checkpoint of "
                "nnU-Net's needs, and loading it may call that."
            )
        else:
            _print("It names nothing but what nnU-Net's own files do.")
    context.exit(bool(suspicious))


def _print(line: str) -> None:
    click.echo(printable(line))


def _print_facts(checkpoint: "Checkpoint") -> None:
    from nnunetv2_ext.inspection.checkpoint import mapping

    plan = checkpoint.plan
    architecture = mapping(plan.get("architecture"))
    facts = {
        "trainer": checkpoint.trainer,
        "preset": checkpoint.preset,
        "dataset": checkpoint.dataset,
        "plans": checkpoint.plans,
        "configuration": checkpoint.configuration,
        "fold": checkpoint.fold,
        "epochs": checkpoint.epochs,
        "parameters": None if checkpoint.parameters is None else f"{checkpoint.parameters:,} with buffers",
        "patch": _joined(plan.get("patch_size"), " x "),
        "batch": plan.get("batch_size"),
        "plan's network": architecture.get("network_class_name"),
        "stages": mapping(architecture.get("arch_kwargs")).get("n_stages"),
        "best EMA Dice": checkpoint.best_ema_dice,
        "last Dice": _joined(checkpoint.last_dice_per_class, ", "),
        "versions": ", ".join(f"{name} {version}" for name, version in checkpoint.versions.items()),
    }
    for name, value in facts.items():
        _print(f"  {name:<16} {'not said' if value in (None, '') else value}")


def _joined(values: Any, separator: str) -> Any:
    """A list as text; what isn't one, as a file may say it, remains as it is."""
    if not isinstance(values, list):
        return values
    return separator.join(f"{value:.4f}" if isinstance(value, float) else str(value) for value in values)
