"""What the outputs stand for, beside nnU-Net's LabelManager."""

import numpy as np
import pytest
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from nnunetv2_ext.runtime.labels import Labels

DATASETS = {
    "classes": ({"background": 0, "a": 1, "b": 2}, None),
    "ignore": ({"background": 0, "a": 1, "ignore": 2}, None),
    "lists of one": ({"background": 0, "a": [1], "b": 2}, None),
    "regions": ({"background": 0, "whole": [1, 2, 3], "core": [1, 3], "active": 3}, [2, 1, 3]),
    "regions with ignore": ({"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}, [1, 2]),
    "order without regions": ({"background": 0, "a": 1}, [1]),
    "many": ({"background": 0, **{f"class {n}": n for n in range(1, 300)}}, None),
}


@pytest.mark.parametrize("name", DATASETS)
def test_segmentation(name):
    labels, order = DATASETS[name]
    expected = LabelManager(labels, order)
    ours = Labels(labels, order)
    assert ours.outputs == expected.num_segmentation_heads
    # half precision makes ties, which the first class wins
    logits = np.random.default_rng(0).normal(size=(ours.outputs, 5, 6, 7)).round(1).astype(np.float16)
    segmentation = ours.segmentation(iter(logits))
    np.testing.assert_array_equal(segmentation, expected.convert_logits_to_segmentation(logits))
    assert segmentation.dtype == (np.uint16 if name == "many" else np.uint8)


@pytest.mark.filterwarnings("error")
def test_a_region_needs_more_than_a_half():
    labels = Labels(*DATASETS["regions with ignore"])
    logits = np.array([[-60000, 0, 6e-8, 1e-4, 60000], [-1, -1, -1, -1, -1]], np.float16)
    assert labels.segmentation(iter(logits)).tolist() == [0, 0, 0, 1, 1]
