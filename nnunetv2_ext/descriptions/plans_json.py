"""What may be wrong in a plans file, apart from its network's arguments, which the network checks itself."""

from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any, TypeGuard

from nnunetv2_ext.errors import PlanError

CURE = "make the plans again with nnUNetv2_plan_experiment or 'nnUNetv2_ext plan', or correct the file"

CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")
"""those that nnU-Net plans, in an order in which they can be trained"""


def check_plans(plans: Any, configuration: str, *, stages: bool = True) -> None:
    """Refuses plans that a trainer can't read this configuration from.

    Args:
        plans: what the file holds.
        configuration: its name.
        stages: whether the other stages of a cascade have to be there; a trained model doesn't need them.

    Raises:
        PlanError: with every problem that was found.
    """
    if problems := list(plans_problems(plans, configuration, stages=stages)):
        name = plans.get("plans_name", "the plans") if isinstance(plans, dict) else "the plans"
        raise PlanError(f"{name}, configuration {configuration}: {'; '.join(problems)}. To cure it {CURE}.")


def configurations_of(plans: Any) -> dict[str, Any]:
    """The configurations; none if the plans have none that can be read."""
    configurations = plans.get("configurations") if isinstance(plans, dict) else None
    return configurations if isinstance(configurations, dict) else {}


def plans_problems(plans: Any, configuration: str, *, stages: bool = True) -> Iterator[str]:
    """Each problem of one configuration."""
    if not isinstance(plans, dict):
        yield f"they are a {type(plans).__name__}, need a JSON object"
        return
    for name in ("dataset_name", "plans_name"):
        if not isinstance(plans.get(name), str):
            yield f"no {name}"
    configurations = configurations_of(plans)
    chain, problem = _inheritance(configurations, configuration)
    if problem:
        yield problem
        return
    values: dict[str, Any] = {}
    for name in reversed(chain):
        values |= configurations[name]
    yield from _value_problems(values)
    if stages:
        yield from _stage_problems(values, configurations)


def _stage_problems(values: dict[str, Any], configurations: dict[str, Any]) -> Iterator[str]:
    next_stages = values.get("next_stage")  # nnU-Net takes one or a list
    next_stages = next_stages if isinstance(next_stages, list) else [next_stages]
    stages = [("previous_stage", values.get("previous_stage")), *(("next_stage", name) for name in next_stages)]
    for key, name in stages:
        if name is not None and name not in list(configurations):  # a list, because not every name can be hashed
            yield f"{key} is {name!r}, which is no configuration"


def _inheritance(configurations: dict[str, Any], configuration: str) -> tuple[list[str], str]:
    """The configuration and those that it inherits from, and what is wrong with them."""
    chain: list[str] = []
    current: Any = configuration
    while current is not None:
        if not isinstance(current, str) or current not in configurations:
            found = ", ".join(configurations) or "none"
            return chain, f"there is no configuration {current}, only {found}"
        if current in chain:
            return chain, f"{' inherits from '.join([*chain, current])}, which is a cycle"
        if not isinstance(configurations[current], dict):
            return chain, f"configuration {current} is {configurations[current]!r}, need a JSON object"
        chain.append(current)
        current = configurations[current].get("inherits_from")
    return chain, ""


def _value_problems(values: dict[str, Any]) -> Iterator[str]:
    if not isinstance(values.get("data_identifier"), str):
        yield "no data_identifier, the name of the folder with its data"
    if not is_count(values.get("batch_size")):
        yield f"batch_size is {values.get('batch_size')!r}, need a whole number of at least 1"
    patch, spacing = values.get("patch_size"), values.get("spacing")
    if not _is_sequence(patch) or len(patch) not in (2, 3) or not all(map(is_count, patch)):
        yield f"patch_size is {patch!r}, need two or three whole numbers of at least 1"
    elif not _is_sequence(spacing) or len(spacing) != len(patch) or not all(map(_is_positive, spacing)):
        yield f"spacing is {spacing!r}, need {len(patch)} positive numbers"
    if "architecture" in values:
        yield from _architecture_problems(values["architecture"])
    elif "UNet_class_name" not in values:  # with it, they are old plans, which nnU-Net converts
        yield "no architecture"


def _architecture_problems(architecture: Any) -> Iterator[str]:
    if not isinstance(architecture, dict):
        yield f"architecture is {architecture!r}, need a JSON object"
        return
    if not isinstance(architecture.get("network_class_name"), str):
        yield f"network_class_name is {architecture.get('network_class_name')!r}, need the dotted path of a class"
    arguments, imports = architecture.get("arch_kwargs"), architecture.get("_kw_requires_import")
    if not isinstance(arguments, dict):
        yield f"arch_kwargs is {arguments!r}, need a JSON object"
    elif not _is_sequence(imports) or not all(isinstance(name, str) and name in arguments for name in imports):
        yield f"_kw_requires_import is {imports!r}, need a list of names that arch_kwargs has"


def _is_sequence(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def is_count(value: Any) -> bool:
    """Whether it is a whole number of at least 1."""
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= 1  # type: ignore[operator]


def _is_positive(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and float(value) > 0
