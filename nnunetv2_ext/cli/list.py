"""``nnUNetv2_ext list``"""

import json

import click

from nnunetv2_ext.presets import PRESETS, Preset
from nnunetv2_ext.presets.stock_variants import stock_variants
from nnunetv2_ext.trainers.names import LOSSES, OPTIMIZERS, PREFIX

INDENT = "  "
LENGTHS = ("_<N>epochs", "_<N>epochs_<M>iters")
NUMBERS = ("_lr1e-3", "_wd1e-2", "_bs4")


@click.command("list", epilog="Example: nnUNetv2_ext list --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, which also has the papers and the networks' classes.")
def list_presets(as_json: bool) -> None:
    """Show all presets and how trainer names are made."""
    if as_json:
        rows = [
            {
                "preset": name,
                "trainer": PREFIX + name,
                "summary": row.summary,
                "paper": row.paper,
                "network": row.network,
                "origin": row.origin,
            }
            for name, row in PRESETS.items()
        ]
        suffixes = {
            "optimizer": list(OPTIMIZERS),
            "loss": list(LOSSES),
            "length": list(LENGTHS),
            "numbers": list(NUMBERS),
            "of_nnunet": list(stock_variants()),
        }
        click.echo(json.dumps({"presets": rows, "suffixes": suffixes, "problems": PRESETS.problems}, indent=2))
    else:
        click.echo("\n".join([*_networks(), "", *_papers(), "", *_grammar()]))
        for problem in PRESETS.problems:
            click.echo(f"nnunetv2_ext: {problem}", err=True)


def _by_network() -> list[list[Preset]]:
    """The presets of each network: the network itself first, then its ablations, which are the same with other arguments."""
    networks: dict[str, list[Preset]] = {}
    for row in PRESETS.values():
        networks.setdefault(row.architecture, []).append(row)
    return list(networks.values())


def _networks() -> list[str]:
    width = max(len(name) for name in PRESETS) + len(INDENT)
    lines = []
    for network, *ablations in _by_network():
        lines.append(click.style(f"{network.name:{width}}", bold=True) + f"  {_described(network)}")
        lines += [f"{INDENT + row.name:{width}}  {_described(row)}" for row in ablations]
    return lines


def _described(row: Preset) -> str:
    """What it is, and of a preset of the user's where it comes from."""
    return f"{row.summary} ({row.origin})".lstrip() if row.origin else row.summary


def _papers() -> list[str]:
    papers: dict[str, list[str]] = {}
    for network, *_ in _by_network():
        papers.setdefault(network.paper, []).append(network.name)
    return [f"{', '.join(names)}: {paper}" for paper, names in papers.items() if paper]


def _grammar() -> list[str]:
    example = f"{PREFIX}{next(iter(PRESETS))}{next(iter(OPTIMIZERS))}{next(iter(LOSSES))}_50epochs"
    return [
        f"A trainer's name is {PREFIX}<Preset>, followed by any of these:",
        f"  an optimizer  {' or '.join(OPTIMIZERS)}",
        f"  a loss        {' or '.join(LOSSES)}",
        f"  a length      {' or '.join(LENGTHS)}",
        f"  numbers       {', '.join(NUMBERS)}: learning rate, weight decay and batch size",
        "  a suffix of nnU-Net's own trainers, as NoMirroring, _onlyMirror01, DA5, CosAnneal, _warmup",
        f"for instance {example}. Without them, the preset's own recipe applies.",
    ]
