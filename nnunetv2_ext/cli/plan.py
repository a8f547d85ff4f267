"""``nnUNetv2_ext plan``"""

import json
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import click

from nnunetv2_ext.cli.multi_value_options import MultiValueCommand
from nnunetv2_ext.cli.preset import PresetName
from nnunetv2_ext.descriptions.plans_json import CONFIGURATIONS
from nnunetv2_ext.presets import PRESETS, Preset

MEMORY = click.FloatRange(min=0, min_open=True, max=10_000)


@click.command(cls=MultiValueCommand, epilog="Example: nnUNetv2_ext plan -d 4 -a EGE --gpu-memory 8 -c 3d_fullres")
@click.option("-d", "--dataset", required=True, help="Id or name of the dataset.")
@click.option("-a", "--preset", required=True, type=PresetName(), help="Whose network to plan for; see 'nnUNetv2_ext list'.")
@click.option("--gpu-memory", default=8.0, show_default=True, type=MEMORY, help="In GB.")
@click.option("-c", "--configurations", multiple=True, type=click.Choice(CONFIGURATIONS), help="One or more; all if left out.")
@click.option("--overwrite", is_flag=True, help="Replace what plans of that name have of these configurations.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def plan(dataset: str, preset: str, gpu_memory: float, configurations: tuple[str, ...], overwrite: bool, as_json: bool) -> None:
    """Write plans of a dataset for a preset and a GPU's memory.

    Patch and batch are what nnU-Net's planner finds with the memory that the network really needs. The plans name the
    network, so every stock command and trainer of nnU-Net takes them with -p, without nnUNet_extTrainer.
    """
    from nnunetv2.utilities.dataset_name_id_conversion import convert_dataset_name_to_id
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    from rich.console import Console

    from nnunetv2_ext.datasets import dataset_name, host_folder
    from nnunetv2_ext.planning.planner import plans_name, write_plans

    folder = host_folder("nnUNet_preprocessed")
    name, row = dataset_name(dataset), PRESETS[preset]
    with Console(stderr=True).status(f"Planning {preset} for {name}"), redirect_stdout(StringIO()):
        plans = write_plans(name, row, gpu_memory=gpu_memory, configurations=configurations, overwrite=overwrite)

    # nnU-Net keeps configurations of other names that plans of that name already had.
    planned = {key: plans["configurations"][key] for key in configurations or CONFIGURATIONS if key in plans["configurations"]}
    manager = PlansManager(plans)
    without_data = [key for key in planned if not (folder / name / manager.get_configuration(key).data_identifier).is_dir()]
    lines = _next_lines(convert_dataset_name_to_id(name), row, plans_name(row), list(planned), without_data)
    file = folder / name / f"{plans_name(row)}.json"
    if as_json:
        click.echo(json.dumps({"plans_file": str(file), "configurations": planned, "next": lines}, indent=2))
    else:
        _print_table(planned)
        click.echo("Planned for float16 autocast, as nnU-Net trains on a GPU; memory is counted without torch.compile.")
        click.echo("Compiled, a network can need up to 1.6 times as much: leave room for that, or train with nnUNet_compile=f.")
        click.echo(f"Written to {file}. Next:")
        click.echo("\n".join(f"  {line}" for line in lines))


def _next_lines(dataset: int, preset: Preset, plans: str, planned: list[str], without_data: list[str]) -> list[str]:
    lines = [f"nnUNetv2_preprocess -d {dataset} -plans_name {plans} -c {' '.join(without_data)}"] if without_data else []
    has_recipe = preset.optimizer or preset.schedule or preset.loss or preset.mixins or preset.hyperparameters
    trainer = f" -tr nnUNetTrainer{preset.name}" if has_recipe else ""
    return lines + [f"nnUNetv2_train {dataset} {configuration} 0 -p {plans}{trainer}" for configuration in planned]


def _print_table(planned: dict[str, dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("Configuration", "Patch", "Batch", "Stages", box=box.SIMPLE_HEAD)
    for name, values in planned.items():
        if "inherits_from" in values:
            table.add_row(name, f"as {values['inherits_from']}", "", "")
        else:
            patch = " x ".join(str(size) for size in values["patch_size"])
            table.add_row(name, patch, str(values["batch_size"]), str(values["architecture"]["arch_kwargs"]["n_stages"]))
    Console(highlight=False).print(table)
