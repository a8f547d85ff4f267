"""What prediction needs beside the network, from nnU-Net's plans and ``dataset.json``."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import nnunetv2_ext
from nnunetv2_ext.descriptions.dataset_json import label_numbers
from nnunetv2_ext.errors import ExportError
from nnunetv2_ext.export.trained_model import TrainedModel
from nnunetv2_ext.runtime.description import Channel, Fold, ModelDescription, Resampling
from nnunetv2_ext.runtime.images import READERS
from nnunetv2_ext.runtime.normalization import NEEDED_STATISTICS, NORMALIZATIONS
from nnunetv2_ext.runtime.resampling import FUNCTIONS, LINEAR

PACKAGES = ("nnunetv2", "torch", "onnx", "onnxscript", "onnxruntime")


def describe(model: TrainedModel, folds: Sequence[Fold], opset: int) -> ModelDescription:
    """The description of an exported model.

    Args:
        model: the model.
        folds: what was exported.
        opset: ONNX's, of all of them.

    Raises:
        ExportError: if the model needs a part of somebody's own that the runtime doesn't have.
    """
    plans, configuration, dataset = model.plans_manager, model.configuration, model.dataset_json
    _check("preprocessor", configuration.preprocessor_name, ("DefaultPreprocessor",))
    _check("label manager", plans.plans.get("label_manager", "LabelManager"), ("LabelManager",))
    _check("reader of images", plans.plans["image_reader_writer"], READERS)
    order = dataset.get("regions_class_order")
    return ModelDescription(
        dataset=plans.dataset_name,
        trainer=model.trainer,
        plans=plans.plans_name,
        configuration=model.configuration_name,
        checkpoint=model.checkpoint_name,
        reader=plans.plans["image_reader_writer"],
        file_ending=dataset["file_ending"],
        channels=_channels(model),
        transpose_forward=tuple(plans.transpose_forward),
        transpose_backward=tuple(plans.transpose_backward),
        spacing=tuple(configuration.spacing),
        patch_size=tuple(configuration.patch_size),
        data_resampling=_resampling(configuration.configuration, "data"),
        logits_resampling=_resampling(configuration.configuration, "probabilities"),
        mirror_axes=model.mirror_axes,
        labels=label_numbers(dataset["labels"]),
        regions_class_order=None if order is None else tuple(map(int, order)),
        opset=opset,
        folds=tuple(folds),
        versions={
            "nnunetv2_ext": nnunetv2_ext.__version__,
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
    )


def _channels(model: TrainedModel) -> tuple[Channel, ...]:
    configuration = model.configuration
    names = model.dataset_json.get("channel_names") or model.dataset_json["modality"]
    intensities = model.plans_manager.foreground_intensity_properties_per_channel
    channels = []
    for index, scheme in enumerate(configuration.normalization_schemes):
        _check("normalisation", scheme, NORMALIZATIONS)
        needed = NEEDED_STATISTICS.get(scheme, ())
        statistics = {name: float(intensities[str(index)][name]) for name in needed}
        # A normalisation without statistics ignores where the image is nonzero.
        only_nonzero = scheme == "ZScoreNormalization" and bool(configuration.use_mask_for_norm[index])
        channels.append(Channel(names.get(str(index), str(index)), scheme, only_nonzero, statistics))
    return tuple(channels)


def _resampling(configuration: Mapping[str, Any], what: str) -> Resampling:
    """nnU-Net's function with its settings, and its own defaults where the plans say nothing."""
    function, given = configuration[f"resampling_fn_{what}"], dict(configuration[f"resampling_fn_{what}_kwargs"])
    _check("resampling", function, FUNCTIONS)
    settings: dict[str, Any] = {
        "order": 3,
        "order_z": 0,
        "force_separate_z": None if function == LINEAR else False,
        "separate_z_anisotropy_threshold": 3.0,
    }
    # what says how segmentations are resampled, where the work is done, or repeats the default
    ignored = {"is_seg", "num_threads", "device", "memefficient_seg_resampling"}
    defaults = {"mode": "linear", "aniso_axis_mode": "nearest-exact"} if function == LINEAR else {}
    others = {name: value for name, value in given.items() if name not in {*settings, *ignored} and defaults.get(name) != value}
    if others:
        raise ExportError(f"the plans resample {what} with {others}, which an exported model can't do: plan without these")
    return Resampling(function, **{name: given.get(name, default) for name, default in settings.items()})


def _check(what: str, name: str, known: Any) -> None:
    if name not in known:
        raise ExportError(
            f"the plans name {name} as {what}, and an exported model knows {', '.join(known)} alone. Share this model with its "
            "nnU-Net: see docs/share.md."
        )
