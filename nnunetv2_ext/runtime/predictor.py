"""From images to segmentations, with an exported model."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnunetv2_ext.errors import PredictionError
from nnunetv2_ext.runtime.description import read_description
from nnunetv2_ext.runtime.images import READERS, read_case, write_segmentation
from nnunetv2_ext.runtime.labels import Labels
from nnunetv2_ext.runtime.network import installed_engine, load_network
from nnunetv2_ext.runtime.preprocessing import preprocess, put_back, resample_logits
from nnunetv2_ext.runtime.resampling import times
from nnunetv2_ext.runtime.sliding_window import SlidingWindow, number_of_tiles


def _ignore(done: int, total: int) -> None:
    """Shows no progress."""


class Predictor:
    """A model that was exported by ``nnUNetv2_ext export``, ready to predict.

    Args:
        folder: what was exported.
        engine: ``onnxruntime`` or ``openvino``; the first one that is installed by default.
        threads: how many threads the engine uses; all that this process may by default.
        mirroring: whether the mean over mirrored images is taken, which is more accurate and takes up to eight times as long.

    Raises:
        PredictionError: if the folder holds no such model or a damaged one, or the engine isn't installed.

    Example:
        >>> predictor = Predictor(Path("model"))
        >>> predictor.predict_files([Path("case_0000.nii.gz")], Path("case.nii.gz"))
    """

    def __init__(self, folder: Path, *, engine: str | None = None, threads: int | None = None, mirroring: bool = True) -> None:
        self.model = read_description(folder)
        if self.model.reader not in READERS:
            raise PredictionError(
                f"images are read by {self.model.reader} in this model, which this version doesn't know: update it"
            )
        engine, threads = engine or installed_engine(), threads or _available_cpus()
        self.networks = [
            load_network(folder / fold.file, fold.sha256, engine=engine, threads=threads) for fold in self.model.folds
        ]
        self.labels = Labels(self.model.labels, self.model.regions_class_order)
        axes = self.model.mirror_axes if mirroring else ()
        self.window = SlidingWindow(self.model.patch_size, self.labels.outputs, axes)

    def predict_files(self, files: Sequence[Path], output: Path, on_tile: Callable[[int, int], object] = _ignore) -> None:
        """Segments the image in these files and writes the segmentation.

        Args:
            files: one per channel, in their order.
            output: what is written, in the images' format.
            on_tile: called with how many tiles are done, and how many there are.

        Raises:
            PredictionError: if the files can't be read, are no image for this model or too large for this computer, or the
                segmentation can't be written.
        """
        image = read_case(self.model.reader, files, len(self.model.channels))
        try:
            segmentation = self.predict(image.array, image.spacing, on_tile)
        except (MemoryError, OverflowError) as error:  # an infinite size is the latter
            raise PredictionError(
                f"the image has {times(image.array.shape[1:])} voxels with the spacing {times(image.spacing)}, and needs more "
                "memory than is free: predict it on a computer with more, or check the spacing in the image's header"
            ) from error
        write_segmentation(self.model.reader, segmentation, output, image)

    def predict(
        self,
        image: NDArray[np.float32],
        spacing: Sequence[float],
        on_tile: Callable[[int, int], object] = _ignore,
    ) -> NDArray[np.unsignedinteger]:
        """The segmentation ``(z, y, x)`` of an image ``(C, z, y, x)``.

        Args:
            image: float32, as SimpleITK reads it; it is changed. A 2D image has a z of 1.
            spacing: of z, y and x.
            on_tile: called with how many tiles are done, and how many there are.
        """
        data, placement = preprocess(image, spacing, self.model)
        done, total = 0, len(self.networks) * number_of_tiles(self.window, data)

        def count() -> None:
            nonlocal done
            done += 1
            on_tile(done, total)

        on_tile(0, total)
        first, *others = self.networks
        logits = self.window.logits(first, data, count)
        for network in others:
            logits += self.window.logits(network, data, count)
        if others:
            logits /= len(self.networks)
        return put_back(self.labels.segmentation(resample_logits(logits, placement, self.model)), placement, self.model)


def _available_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
