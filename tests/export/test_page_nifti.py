"""The page reads NIfTI as SimpleITK reads it, which the runtime reads with, and its segmentations have the image's geometry."""

import gzip
import json
import struct
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from nnunetv2_ext.export.web import PAGE

IMAGE = np.random.default_rng(0).integers(0, 100, (5, 4, 3)).astype(np.float32)
TYPES = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
SIZES, SCALE, UNITS, QFORM, MAGIC = 40, 112, 123, 252, 344
"""where they are in a header"""

HEADERS = {
    "as it is": {},
    "metres": {UNITS: b"\x01"},
    "micrometres and seconds": {UNITS: bytes([3 | 8])},
    "scaled": {SCALE: struct.pack("<2f", 0.1, -3)},
    "slope of zero": {SCALE: struct.pack("<2f", 0, 3)},
    "slope that is no number": {SCALE: struct.pack("<2f", float("nan"), 1)},
    "no qform": {QFORM: struct.pack("<h", 0)},
    "negative spacing": {80: struct.pack("<f", -0.5), QFORM: bytes(4)},
    "spacing of zero": {80: struct.pack("<f", 0), QFORM: bytes(4)},
    "four dimensions, one volume": {SIZES: struct.pack("<6h", 4, 3, 4, 5, 1, 1)},
    "one slice": {SIZES: struct.pack("<4h", 3, 3, 20, 1)},
}
REFUSED = {
    "NIfTI-2": ({0: struct.pack("<i", 540)}, "is a NIfTI-2 image. Save it as NIfTI-1."),
    "a header alone": ({MAGIC: b"ni1"}, "is a header without its image. Save both as one .nii file."),
    "two dimensions": ({SIZES: struct.pack("<3h", 2, 3, 20)}, "has 2 dimensions, need 3."),
    "colors": ({70: struct.pack("<h", 128)}, "has voxels that are no plain numbers (NIfTI's type 128), such as colors."),
    "no size": ({SIZES: struct.pack("<4h", 3, 3, -4, 5)}, "is damaged: its size is 3 \N{MULTIPLICATION SIGN} -4"),
}


def image(dtype="int16", values=IMAGE):
    """A .nii file turned in space."""
    written = SimpleITK.GetImageFromArray(values.astype(dtype))
    written.SetSpacing((0.7, 1.3, 2.5))
    written.SetOrigin((3.0, -5.0, 7.5))
    written.SetDirection((0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    return written


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The images, by name."""
    folder = tmp_path_factory.mktemp("images")
    for dtype in TYPES:
        SimpleITK.WriteImage(image(dtype), str(folder / f"{dtype}.nii"))
    plain = (folder / "int16.nii").read_bytes()
    for name, changes in {**HEADERS, **{name: changes for name, (changes, _) in REFUSED.items()}}.items():
        (folder / f"{name}.nii").write_bytes(changed(plain, changes))
    (folder / "compressed.nii.gz").write_bytes(gzip.compress(plain))
    not_finite = IMAGE.copy()
    not_finite[0, 0] = np.nan, np.inf, -np.inf
    SimpleITK.WriteImage(image("float32", not_finite), str(folder / "not finite.nii"))
    (folder / "big-endian.nii").write_bytes(big_endian(plain))
    (folder / "extended.nii").write_bytes(changed(plain, {108: struct.pack("<f", 384)})[:352] + bytes(32) + plain[352:])
    return {file.name.split(".")[0]: file for file in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def of_the_page(node, files):
    driver = Path(__file__).with_name("page_nifti.mjs")
    done = subprocess.run([node, driver, PAGE / "steps", *files.values()], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(files, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("name", [*TYPES, *HEADERS, "compressed", "not finite", "big-endian", "extended"])
def test_reads_as_simpleitk(name, files, of_the_page):
    expected = SimpleITK.ReadImage(str(files[name]))
    array = SimpleITK.GetArrayFromImage(expected).astype(np.float32)
    read = of_the_page[name]
    assert "refused" not in read
    assert read["shape"] == list(array.shape)
    np.testing.assert_array_equal(np.float32(read["data"]), array.ravel())
    np.testing.assert_array_equal(read["spacing"], expected.GetSpacing()[::-1])

    assert read["millilitres"] == pytest.approx(np.prod(expected.GetSpacing()) / 1000)

    mask = SimpleITK.ReadImage(f"{files[name]}.mask.nii")
    assert mask.GetPixelID() == SimpleITK.sitkUInt8
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(mask).ravel(), np.arange(array.size) % 5)
    for what in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(mask, what)() == getattr(expected, what)()


@pytest.mark.parametrize("name", ["as it is", "metres", "micrometres and seconds", "big-endian"])
def test_spacing_of_nibabel_is_in_the_unit_of_the_file(name, files, of_the_page):
    spacing, millilitres = of_the_page[name]["asNibabel"]
    np.testing.assert_array_equal(np.float32(spacing), nibabel.load(files[name]).header.get_zooms()[::-1])
    assert millilitres == of_the_page[name]["millilitres"]


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_in_a_sentence(name, of_the_page):
    assert of_the_page[name]["refused"].startswith(f"{name}.nii {REFUSED[name][1]}")


def changed(content, changes):
    """The file with other bytes in some places."""
    content = bytearray(content)
    for place, value in changes.items():
        content[place : place + len(value)] = value
    return bytes(content)


def big_endian(content):
    """A file of 16 bits per voxel with all of its numbers turned round."""
    ends = {0: "i", 40: "8h", 56: "3f", 68: "4h", 76: "8f", 108: "3f", 120: "h", 124: "4f", 140: "2i", 252: "2h", 256: "18f"}
    turned = {at: struct.pack(f">{kind}", *struct.unpack_from(f"<{kind}", content, at)) for at, kind in ends.items()}
    return changed(content, turned)[:352] + np.frombuffer(content[352:], "<i2").astype(">i2").tobytes()
