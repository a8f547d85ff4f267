"""``nnUNetv2_ext list``"""

import json

import click

from nnunetv2_ext.presets import PRESETS, Preset
from nnunetv2_ext.trainers.names import LOSSES, OPTIMIZERS, PREFIX

INDENT = "  "
LENGTHS = ("_<N>epochs", "_<N>epochs_<M>iters")


@click.command("list", epilog="Example: nnUNetv2_ext list --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, which also has the papers and the networks' classes.")
def list_presets(as_json: bool) -> None:
    """Show all presets and how trainer names are made."""
    if as_json:
        rows = [
            {"preset": name, "trainer": PREFIX + name, "summary": row.summary, "paper": row.paper, "network": row.network}
            for name, row in PRESETS.items()
        ]
        suffixes = {"optimizer": list(OPTIMIZERS), "loss": list(LOSSES), "length": list(LENGTHS)}
        click.echo(json.dumps({"presets": rows, "suffixes": suffixes}, indent=2))
    else:
        click.echo("\n".join([*_networks(), "", *_papers(), "", *_grammar()]))


def _by_network() -> list[list[Preset]]:
    """The presets of each network: the network itself first, then its ablations, which are the same with other arguments."""
    networks: dict[str, list[Preset]] = {}
    for row in PRESETS.values():
        networks.setdefault(row.network, []).append(row)
    return list(networks.values())


def _networks() -> list[str]:
    width = max(len(name) for name in PRESETS) + len(INDENT)
    lines = []
    for network, *ablations in _by_network():
        lines.append(click.style(f"{network.name:{width}}", bold=True) + f"  {network.summary}")
        lines += [f"{INDENT + row.name:{width}}  {row.summary}" for row in ablations]
    return lines


def _papers() -> list[str]:
    papers: dict[str, list[str]] = {}
    for network, *_ in _by_network():
        papers.setdefault(network.paper, []).append(network.name)
    return [f"{', '.join(names)}: {paper}" for paper, names in papers.items()]


def _grammar() -> list[str]:
    example = f"{PREFIX}{next(iter(PRESETS))}{next(iter(OPTIMIZERS))}{next(iter(LOSSES))}_50epochs"
    return [
        f"A trainer's name is {PREFIX}<Preset>, followed by any of these, in this order:",
        f"  an optimizer  {' or '.join(OPTIMIZERS)}",
        f"  a loss        {' or '.join(LOSSES)}",
        f"  a length      {' or '.join(LENGTHS)}",
        f"for instance {example}. Without them, the preset's own recipe applies.",
    ]
