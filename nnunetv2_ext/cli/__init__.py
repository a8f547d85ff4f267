"""The command ``nnUNetv2_ext``: one file per subcommand, imported when it is called."""

import importlib
from typing import NamedTuple

import click

import nnunetv2_ext


class Subcommand(NamedTuple):
    """Where a subcommand is, and its line in the group's help."""

    module: str
    function: str
    summary: str


SUBCOMMANDS = {
    "env": Subcommand("env", "env", "Print the command with which a shell lets nnU-Net find the trainers."),
    "path": Subcommand("path", "path", "Print the folder that nnUNet_extTrainer has to name."),
    "list": Subcommand("list", "list_presets", "Show all presets and how trainer names are made."),
    "doctor": Subcommand("doctor", "doctor", "Check the installation, and say how to fix what is wrong."),
    "profile": Subcommand("profile", "profile", "Measure what trainers cost: parameters, operations, memory, time."),
    "plan": Subcommand("plan", "plan", "Write plans of a dataset for a preset and a GPU's memory."),
    "inspect": Subcommand("inspect", "inspect", "Show what a checkpoint or model zip holds, without running anything in it."),
    "sweep": Subcommand("sweep", "sweep", "Train many: trainers x configurations x folds x repeats."),
    "compare": Subcommand("compare", "compare", "Compare trained runs, case by case, with statistics."),
    "export": Subcommand("export", "export", "Export a trained model, to predict without PyTorch and nnU-Net."),
    "predict-onnx": Subcommand("predict_onnx", "predict_onnx", "Predict from an exported model, without PyTorch and nnU-Net."),
    "demo": Subcommand("demo", "demo", "Run the whole pipeline on a small built-in dataset."),
}


class LazyGroup(click.Group):
    """A group whose subcommands are imported when they are called, not for its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in SUBCOMMANDS:
            return None
        subcommand = SUBCOMMANDS[cmd_name]
        return getattr(importlib.import_module(f"{__name__}.{subcommand.module}"), subcommand.function)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, subcommand.summary) for name, subcommand in SUBCOMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog='Start with: eval "$(nnUNetv2_ext env)"',
)
@click.version_option(nnunetv2_ext.__version__)
def main() -> None:
    """Architectures and training recipes for stock nnU-Net v2."""
