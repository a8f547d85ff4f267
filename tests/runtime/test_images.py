"""Images as nnU-Net's readers see them, and segmentations as they write them."""

import resource
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO, SimpleITKIOWithReorient
from nnunetv2.imageio.tif_reader_writer import Tiff3DIO
from skimage.io import imread, imsave
from tifffile import imwrite

from nnunetv2_ext.errors import PredictionError
from nnunetv2_ext.runtime.images import cases, read_case, write_segmentation

DIRECTIONS = {
    "straight": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "turned": (0, -1, 0, 1, 0, 0, 0, 0, 1),
    "mirrored": (-1, 0, 0, 0, 1, 0, 0, 0, -1),
    "oblique": (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1),
}


def volume(file: Path, direction: str = "straight", dtype: type = np.int16) -> Path:
    array = np.random.default_rng(0).integers(0, 100, (4, 6, 5)).astype(dtype)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.75, 2.5))
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetDirection([float(value) for value in DIRECTIONS[direction]])
    SimpleITK.WriteImage(image, str(file))
    return file


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("reader", [SimpleITKIO, SimpleITKIOWithReorient, NibabelIO, NibabelIOWithReorient])
def test_volumes(reader, direction, tmp_path):
    file = volume(tmp_path / "case_0000.nii.gz", direction)
    expected, properties = reader().read_images([str(file)])
    image = read_case(reader.__name__, [file], 1)
    np.testing.assert_array_equal(image.array, expected)
    np.testing.assert_allclose(image.spacing, properties["spacing"], rtol=1e-6)

    segmentation = np.random.default_rng(1).integers(0, 3, image.array.shape[1:]).astype(np.uint8)
    reader().write_seg(segmentation, str(tmp_path / "theirs.nii.gz"), properties)
    write_segmentation(reader.__name__, segmentation, tmp_path / "ours.nii.gz", image)
    theirs, ours = (SimpleITK.ReadImage(str(tmp_path / f"{name}.nii.gz")) for name in ("theirs", "ours"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(ours), SimpleITK.GetArrayFromImage(theirs))
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(ours, what)(), getattr(theirs, what)(), atol=1e-5, err_msg=what)


@pytest.mark.parametrize("unit", [0, 1, 2, 3, 3 | 8])  # unknown, metres, millimetres, micrometres, those and seconds
@pytest.mark.parametrize("reader", [SimpleITKIO, NibabelIO, NibabelIOWithReorient])
def test_spacing_is_in_the_unit_of_the_reader(reader, unit, tmp_path):
    file = volume(tmp_path / "case_0000.nii", "turned")
    content = bytearray(file.read_bytes())
    content[123] = unit
    file.write_bytes(content)
    _, properties = reader().read_images([str(file)])
    np.testing.assert_allclose(read_case(reader.__name__, [file], 1).spacing, properties["spacing"], rtol=1e-6)


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii"])
def test_other_endings(ending, tmp_path):
    file = volume(tmp_path / f"case_0000{ending}", dtype=np.float32)
    image = read_case("SimpleITKIO", [file], 1)
    write_segmentation("SimpleITKIO", image.array[0].astype(np.uint16), tmp_path / f"case{ending}", image)
    written = SimpleITK.ReadImage(str(tmp_path / f"case{ending}"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(written), image.array[0])


def test_an_image_of_two_axes(tmp_path):
    file = tmp_path / "case_0000.nii.gz"
    flat = SimpleITK.GetImageFromArray(np.arange(30, dtype=np.float32).reshape(5, 6))
    flat.SetSpacing((0.5, 0.25))
    SimpleITK.WriteImage(flat, str(file))
    expected, properties = SimpleITKIO().read_images([str(file)])
    image = read_case("SimpleITKIO", [file], 1)
    np.testing.assert_array_equal(image.array, expected)
    np.testing.assert_allclose(image.spacing, properties["spacing"])
    write_segmentation("SimpleITKIO", np.ones((1, 5, 6), np.uint8), tmp_path / "case.nii.gz", image)
    assert SimpleITK.ReadImage(str(tmp_path / "case.nii.gz")).GetSize() == (6, 5)


@pytest.mark.parametrize(
    ("ending", "shape"),
    [
        *((ending, shape) for ending in (".png", ".tif", ".bmp") for shape in ((8, 6), (8, 6, 3))),
        *((ending, (8, 6, 4)) for ending in (".png", ".tif")),  # BMP has no transparency
    ],
)
def test_natural_images(ending, shape, tmp_path):
    file = tmp_path / f"case_0000{ending}"
    imsave(str(file), np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8), check_contrast=False)
    expected, properties = NaturalImage2DIO().read_images([str(file)])
    image = read_case("NaturalImage2DIO", [file], len(expected))
    np.testing.assert_array_equal(image.array, expected)
    assert tuple(image.spacing) == properties["spacing"]
    segmentation = np.random.default_rng(0).integers(0, 3, (1, 8, 6)).astype(np.uint8)
    write_segmentation("NaturalImage2DIO", segmentation, tmp_path / f"case{ending}", image)
    np.testing.assert_array_equal(imread(str(tmp_path / f"case{ending}")), segmentation[0])


def test_tiff_in_three_dimensions(tmp_path):
    file = tmp_path / "case_0000.tif"
    imwrite(file, np.random.default_rng(0).integers(0, 1000, (4, 6, 5)).astype(np.uint16))
    (tmp_path / "case.json").write_text('{"spacing": [2.0, 0.5, 0.5]}')
    expected, properties = Tiff3DIO().read_images([str(file)])
    image = read_case("Tiff3DIO", [file], 1)
    np.testing.assert_array_equal(image.array, expected)
    assert list(image.spacing) == properties["spacing"]
    (tmp_path / "out").mkdir()
    write_segmentation("Tiff3DIO", np.ones((4, 6, 5), np.uint8), tmp_path / "out" / "case.tif", image)
    written, properties = Tiff3DIO().read_seg(str(tmp_path / "out" / "case.tif"))
    assert written.shape == (1, 4, 6, 5)
    assert properties["spacing"] == [2.0, 0.5, 0.5]


@pytest.mark.parametrize("spacing", ["[NaN, 1, 1]", "[0, 1, 1]", "[-1, 1, 1]", "[Infinity, 1, 1]", "[1, 1]", '["1", 1, 1]'])
def test_a_spacing_that_is_none_is_refused(spacing, tmp_path):
    imwrite(tmp_path / "case_0000.tif", np.zeros((4, 6, 5), np.uint8))
    (tmp_path / "case.json").write_text(f'{{"spacing": {spacing}}}')
    with pytest.raises(PredictionError, match=r"case_0000.tif has the spacing .*, need three positive numbers: correct it"):
        read_case("Tiff3DIO", [tmp_path / "case_0000.tif"], 1)


def test_labels_beyond_a_byte_are_written_in_two(tmp_path):
    image = read_case("SimpleITKIO", [volume(tmp_path / "case_0000.nii.gz")], 1)
    write_segmentation("SimpleITKIO", np.full((4, 6, 5), 300, np.uint16), tmp_path / "case.nii.gz", image)
    assert SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "case.nii.gz"))).max() == 300


def test_cases_are_the_files_with_a_channel_number(tmp_path):
    for name in ("b_0001.png", "b_0000.png", "a_1_0000.png", "notes.png", "c_0000.jpg", "d_00000.png"):
        (tmp_path / name).touch()
    found = cases(tmp_path, ".png")
    assert {name: [file.name for file in files] for name, files in found.items()} == {
        "a_1": ["a_1_0000.png"],
        "b": ["b_0000.png", "b_0001.png"],
    }


def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path):
    broken = tmp_path / "case_0000.nii.gz"
    broken.write_bytes(b"no image")
    with pytest.raises(PredictionError, match=r"case_0000.nii.gz can't be read"):
        read_case("SimpleITKIO", [broken], 1)


@pytest.mark.parametrize(
    ("reader", "ending"), [*(("SimpleITKIO", ending) for ending in (".nii.gz", ".nii", ".nrrd", ".gipl")), ("Tiff3DIO", ".tif")]
)
def test_a_full_disk_is_said_in_a_sentence_and_keeps_the_file_before(reader, ending, tmp_path):
    image = read_case("SimpleITKIO", [volume(tmp_path / "case_0000.nii.gz")], 1)
    (tmp_path / f"case{ending}").write_text("before")
    segmentation = np.random.default_rng(0).integers(0, 100, image.array.shape[1:]).astype(np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))  # as a full disk
    try:
        with pytest.raises(PredictionError, match=rf"case{ending} can't be written: .*\. Make room on the disk"):
            write_segmentation(reader, segmentation, tmp_path / f"case{ending}", image)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / f"case{ending}").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 2


def test_channels_that_are_missing_or_do_not_fit(tmp_path):
    first = volume(tmp_path / "case_0000.nii.gz")
    with pytest.raises(PredictionError, match="1 channels, need 2"):
        read_case("SimpleITKIO", [first], 2)
    second = tmp_path / "case_0001.nii.gz"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((4, 6, 4), np.int16)), str(second))
    with pytest.raises(PredictionError, match="another size"):
        read_case("SimpleITKIO", [first, second], 2)


def test_four_axes_are_refused(tmp_path):
    file = tmp_path / "case_0000.nii.gz"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((2, 3, 4, 5), np.int16), isVector=False), str(file))
    with pytest.raises(PredictionError, match="4 axes"):
        read_case("SimpleITKIO", [file], 1)
