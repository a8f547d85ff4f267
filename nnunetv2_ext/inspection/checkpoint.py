"""What a checkpoint says of itself, and what loading it would import."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import IO, Any

from nnunetv2_ext.errors import UnknownTrainerError, UnsafeFileError
from nnunetv2_ext.inspection.inert_pickle import LARGEST, Inert, Plain, entries_of, read
from nnunetv2_ext.inspection.zip_file import folded, open_zip
from nnunetv2_ext.presets.adapt import ADAPTER
from nnunetv2_ext.presets.with_block import BLOCK_UNET
from nnunetv2_ext.trainers.names import parse

HARMLESS = {
    "_codecs.encode",
    "collections.OrderedDict",
    "numpy.dtype",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray.scalar",
    "torch.device",
    "torch.Size",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor_v2",
    *(
        f"torch.{kind}Storage"
        for kind in ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")
    ),
}
"""what the pickles of nnU-Net's checkpoints name; each makes a value of its arguments and does nothing else"""

HARMLESS_IN_A_PLAN = re.compile(
    r"dynamic_network_architectures\.architectures\.\w+\.[A-Z]\w*"
    r"|nnunetv2_ext\.architectures\.(blocks\.(\w+\.)?)?[A-Z]\w*"
    r"|monai\.networks\.nets\.(\w+\.)?[A-Z]\w*"
    r"|torch\.nn\.(modules\.[a-z]+\.)?[A-Z]\w*"
)
"""networks, blocks and operations that plans name"""

HARMLESS_WITH = {ADAPTER: "network", BLOCK_UNET: "block"}
"""networks that import what this argument names; they are as harmless as that"""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says of itself; None where it says nothing. Nothing keeps a file from saying it in other types."""

    trainer: str | None
    preset: str | None
    dataset: str | None
    plans: str | None
    configuration: str | None
    fold: str | None
    epochs: int | None
    parameters: int | None
    best_ema_dice: float | None
    last_dice_per_class: list[float] | None
    plan: dict[str, Any]
    versions: dict[str, str]
    imports: list[str]
    """what would be imported, and could be called, if it were loaded"""
    suspicious: list[str]
    """of the imports, those that no checkpoint of nnU-Net's needs, and those that it uses to hide text"""


def inspect_checkpoint(stream: IO[bytes], name: str, versions: Mapping[str, str]) -> Checkpoint:
    """Reads the structure of a checkpoint, not its tensors.

    Args:
        stream: the file.
        name: what errors call it.
        versions: those of the run card beside it.

    Raises:
        UnsafeFileError: if it isn't a checkpoint that torch.save writes, or can't be read to its end.
    """
    try:
        content, imports = read(_pickle_of(stream, name))
        return _describe(content, imports, versions)
    except UnsafeFileError:
        raise
    except Exception as error:  # what a file that is damaged, or made to confuse, raises can be anything
        raise UnsafeFileError(
            f"{name} can't be read as a checkpoint ({type(error).__name__}: {error}): it is damaged, or made to mislead. Don't "
            "load it; get it again from where it comes from."
        ) from error


def versions_of(run_card: bytes) -> dict[str, str]:
    """The versions in a run card; none if it can't be read."""
    try:
        return {str(key): str(value) for key, value in json.loads(run_card)["versions"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def named_by(plans: Any) -> tuple[set[str], set[str]]:
    """What plans name for import, and what of it is suspicious.

    These are the network of each configuration, and the operations that it is built from.
    """
    named: set[str] = set()
    suspicious: set[str] = set()
    for configuration in mapping(mapping(plans).get("configurations")).values():
        architecture = mapping(mapping(configuration).get("architecture"))
        network, arguments = architecture.get("network_class_name"), mapping(architecture.get("arch_kwargs"))
        needed = architecture.get("_kw_requires_import")
        keys = [key for key in needed if isinstance(key, str)] if isinstance(needed, list | dict | str) else []
        parts = [arguments.get(key) for key in keys]
        if isinstance(network, str) and network in HARMLESS_WITH:
            named.add(network)
            parts.append(arguments.get(HARMLESS_WITH[network]))
        else:
            parts.append(network)
        names = {part for part in parts if isinstance(part, str)}
        named |= names
        suspicious |= {name for name in names if not HARMLESS_IN_A_PLAN.fullmatch(name)}
    return named, suspicious


def _pickle_of(stream: IO[bytes], name: str) -> bytes:
    """The one pickle in the zip that torch.save writes."""
    with open_zip(stream, name) as archive:
        members = archive.infolist()
        if any(folded(member.filename).endswith("constants.pkl") for member in members):
            raise UnsafeFileError(f"{name} is TorchScript, a program, and no checkpoint of nnU-Net's. Don't load it.")
        pickles = [member for member in members if folded(member.filename).endswith(".pkl")]
        if len(pickles) != 1 or not re.fullmatch(r"[^/]+/data\.pkl", pickles[0].filename):
            found = ", ".join(member.filename for member in pickles[:3]) or "none"
            raise UnsafeFileError(
                f"{name} is no checkpoint that torch.save wrote: it should hold one pickle, data.pkl in a folder, and holds "
                f"{found}. Don't load it."
            )
        if pickles[0].file_size > LARGEST:
            raise UnsafeFileError(f"the pickle in {name} has {pickles[0].file_size:,} bytes, more than any checkpoint's.")
        return archive.read(pickles[0])


def _describe(content: Any, imports: list[str], versions: Mapping[str, str]) -> Checkpoint:
    plain = Plain()
    said = mapping(plain(content))
    trainer = said.get("trainer_name")
    arguments, log = mapping(said.get("init_args")), mapping(said.get("logging"))
    plans, configuration = mapping(arguments.get("plans")), arguments.get("configuration")
    plan = _plan(plans, configuration)
    named, suspicious_in_plans = named_by(plans)
    dice = log.get("dice_per_class_or_region")
    suspicious = {*suspicious_in_plans, *plain.hidden, *(name for name in imports if name not in HARMLESS)}
    return Checkpoint(
        trainer=trainer,
        preset=_preset(trainer),
        dataset=plans.get("dataset_name"),
        plans=plans.get("plans_name"),
        configuration=configuration,
        fold=None if arguments.get("fold") is None else str(arguments["fold"]),
        epochs=said.get("current_epoch"),
        parameters=_parameters((entries_of(content) or {}).get("network_weights")),
        best_ema_dice=said.get("_best_ema"),
        last_dice_per_class=dice[-1] if isinstance(dice, list) and dice else None,
        plan=plan,
        versions=dict(versions),
        imports=sorted({*imports, *named}),
        suspicious=sorted(suspicious),
    )


def mapping(value: Any) -> dict[str, Any]:
    """A value that should be a dictionary; an empty one if a file has something else there."""
    return value if isinstance(value, dict) else {}


def _preset(trainer: Any) -> str | None:
    try:
        return parse(trainer).preset.name if isinstance(trainer, str) else None
    except UnknownTrainerError:
        return None


def _parameters(weights: Any) -> int | None:
    """Numbers in all tensors, buffers included; a tensor that two names share counts once."""
    tensors = entries_of(weights)
    if tensors is None:
        return None
    sizes: dict[Any, int] = {}
    for tensor in tensors.values():
        if isinstance(tensor, Inert) and tensor.name == "torch._utils._rebuild_tensor_v2":
            (_, _, key, *_), offset, size, *_ = tensor.arguments
            sizes[key, offset] = prod(size)
    return Plain()(sum(sizes.values()))


def _plan(plans: dict[str, Any], configuration: Any) -> dict[str, Any]:
    """Patch, batch, spacing and architecture of the configuration; what it inherits is filled in."""
    configurations = mapping(plans.get("configurations"))
    found: dict[str, Any] = {}
    seen: set[str] = set()
    while isinstance(configuration, str) and configuration not in seen:
        seen.add(configuration)
        values = mapping(configurations.get(configuration))
        found = {**values, **found}
        configuration = values.get("inherits_from")
    return {key: found[key] for key in ("patch_size", "batch_size", "spacing", "architecture") if key in found}
