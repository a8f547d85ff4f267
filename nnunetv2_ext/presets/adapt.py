"""Presets of networks that know nothing of nnU-Net."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from nnunetv2_ext.presets.preset import Preset, path_of

ADAPTER = "nnunetv2_ext.architectures.adapter.Adapter"


def adapt(
    name: str,
    network: type | str,
    *,
    facts: Mapping[str, str],
    arguments: Mapping[str, Any] | None = None,
    multiple: int | Sequence[int] = 1,
    deep_supervision: bool = False,
    finest: Literal["first", "last"] = "first",
    unused: Sequence[str] = (),
    hyperparameters: Mapping[str, Any] | None = None,
    **more: Any,
) -> Preset:
    """A preset of any ``nn.Module`` whose forward takes ``(N, C, *spatial)`` and gives logits, one tensor or several heads.

    Args:
        name: of the preset.
        network: the class, or its dotted path.
        facts: arguments of its constructor and what they are of the plan, such as ``{"in_channels": "input_channels"}``; see
            ``nnunetv2_ext.architectures.adapter.Adapter`` for all facts.
        arguments: further arguments of its constructor, which a plan can hold as JSON.
        multiple: what each axis of its input has to be divisible by.
        deep_supervision: whether it gives several heads.
        finest: whether the prediction is its first head or its last.
        unused: parts of the names of parameters that its forward never uses, for which distributed training would wait.
        hyperparameters: as of a Preset.
        more: further arguments of a Preset.
    """
    if not deep_supervision:
        hyperparameters = {"enable_deep_supervision": False, **(hyperparameters or {})}
    return Preset(
        name,
        network=ADAPTER,
        arguments={
            "network": path_of(network),
            "network_arguments": dict(arguments or {}),
            "facts": dict(facts),
            "multiple": multiple,
            "finest": finest,
            "unused": list(unused),
        },
        plan_facts=("patch_size", "spacing"),
        hyperparameters=hyperparameters or {},
        **more,
    )
