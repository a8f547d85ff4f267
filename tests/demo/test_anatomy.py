"""The crops of the template."""

import sys
from itertools import product

import numpy as np
import pytest

from nnunetv2_ext.demo import anatomy
from nnunetv2_ext.demo.anatomy import Crop, Template, held_out_crops, load_template, training_crops
from nnunetv2_ext.errors import ExtensionError


def occupied(crops: list[Crop], shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    for crop in crops:
        mask[crop.box] = True
    return mask


def test_template(template: Template) -> None:
    assert template.image.shape == template.labels.shape == (197, 233, 189)
    assert (template.image.min(), template.image.max()) == (0, 1)
    assert np.unique(template.labels).tolist() == [0, 1, 2]
    dark, grey, white = (np.median(template.image[template.labels == label]) for label in range(3))
    assert dark < grey < white, "on T1 the white matter is the brightest"


def test_template_is_read_without_importing_nilearn(template: Template) -> None:  # noqa: ARG001
    assert "nilearn" not in sys.modules


def test_crops(template: Template) -> None:
    training, test = training_crops(template), held_out_crops(template)
    assert (len(training), len(test)) == (51, 17)
    for crop in training + test:
        assert crop.image.shape == (24, 24, 24)
        assert np.array_equal(crop.image, template.image[crop.box])
        assert np.array_equal(crop.labels, template.labels[crop.box])
        assert np.unique(crop.labels).tolist() == [0, 1, 2]
        assert np.mean(crop.labels == 0) <= 0.5


def test_training_and_test_share_no_voxel_nor_its_mirror_image(template: Template) -> None:
    shape = template.image.shape
    assert np.array_equal(template.image, template.image[::-1]), "the template is symmetric, which is why mirror images matter"
    training, test = (occupied(crops, shape) for crops in (training_crops(template), held_out_crops(template)))
    assert not (training & test).any()
    assert not (training & test[::-1]).any()
    assert not (training & training[::-1]).any()
    assert not (test & test[::-1]).any()


def test_test_crops_share_nothing(template: Template) -> None:
    crops = held_out_crops(template)
    assert occupied(crops, template.image.shape).sum() == sum(crop.image.size for crop in crops)


def test_gap_between_training_and_test(template: Template) -> None:
    for one, other in product(training_crops(template), held_out_crops(template)):
        first, second = sorted((one.corner[1], other.corner[1]))
        assert second - first - anatomy.EDGE >= 4


def test_without_nilearn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anatomy, "find_spec", lambda name: None)  # noqa: ARG005
    with pytest.raises(ExtensionError, match=r'pip install "nnunetv2-ext\[demo\]"'):
        load_template()


def test_with_a_nilearn_without_the_template(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    class Found:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(anatomy, "find_spec", lambda name: Found)  # noqa: ARG005
    with pytest.raises(ExtensionError, match=r"has no mni_icbm152_t1_.*, mni_icbm152_gm_.*install one with"):
        load_template()
