import pytest

from nnunetv2_ext.descriptions.fingerprint import check_fingerprint
from nnunetv2_ext.errors import DatasetError

SOUND = {
    "spacings": [[1, 1, 1], [2, 1, 1]],
    "shapes_after_crop": [[16, 32, 32], [8, 32, 32]],
    "foreground_intensity_properties_per_channel": {"0": {"mean": 0.0}},
    "median_relative_size_after_cropping": 1.0,
}


def test_a_sound_one_is_taken():
    check_fingerprint(SOUND)


@pytest.mark.parametrize("name", SOUND)
def test_a_missing_part_is_named(name):
    with pytest.raises(DatasetError, match=rf"no {name}.*nnUNetv2_extract_fingerprint"):
        check_fingerprint({key: value for key, value in SOUND.items() if key != name})


@pytest.mark.parametrize("shapes", [[], None, [[16, 32, 32]]], ids=["none", "no list", "of one image of two"])
def test_spacings_and_shapes_are_of_the_same_images(shapes):
    with pytest.raises(DatasetError, match="lists with one entry for each image"):
        check_fingerprint({**SOUND, "shapes_after_crop": shapes})
