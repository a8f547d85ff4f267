"""``nnUNetv2_ext export`` and ``predict-onnx``: what a user sees, and that predicting needs neither torch nor nnU-Net."""

import os
import subprocess
import sys

import pytest
import SimpleITK

from nnunetv2_ext.export.description import describe
from nnunetv2_ext.runtime.description import FILE_NAME, Fold
from tests.export.models import Model, make_model, nnunet_predicts, write_image

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

TRAINER = "nnUNetTrainerEGEUNet"
WITHOUT_TORCH = """
import sys
for name in ("torch", "nnunetv2", "batchgenerators", "batchgeneratorsv2", "acvl_utils", "dynamic_network_architectures"):
    sys.modules[name] = None  # importing it fails
from nnunetv2_ext.cli import main
main(sys.argv[1:])
"""


@pytest.fixture
def trained(tmp_path, monkeypatch):
    return make_model(Model(trainer=TRAINER, plan="2d"), tmp_path, monkeypatch)


def test_from_a_trained_model_to_segmentations_without_torch(command, tmp_path, monkeypatch):
    trained = make_model(Model(plan="2d"), tmp_path, monkeypatch)  # whose network is traced in no time
    folder, images, output = tmp_path / "exported", tmp_path / "images", tmp_path / "out"
    exported = command("export", "-d", "9", "-c", "2d", "-tr", "nnUNetTrainer", "-f", "0", "-o", str(folder))
    assert exported.exit_code == 0, exported.output
    assert "fold_0.onnx: 0." in exported.output
    assert "ONNX opset 18, any batch; its logits differ by at most" in exported.output
    assert f"predict-onnx -i IN -o OUT -m {folder}" in exported.output

    files = [write_image(images, name, (3, 24, 12), (1.0, 1.0, 1.0)) for name in ("first", "second case")]
    write_image(images, "micrometres", (3, 24, 12), (1.0, 0.001, 0.001))
    write_image(images, "astronomic", (3, 24, 12), (1.0, 1e20, 1e20))
    (images / "broken_0000.nii.gz").write_bytes(b"no image")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "predict-onnx", *("-i", images, "-o", output, "-m", folder, "--threads", "1")],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Predicted 2 of 5 cases" in done.stdout
    assert "micrometres: the image has the spacing 1 x 0.001 x 0.001" in done.stderr
    assert "astronomic: the image has the spacing 1 x 1e+20 x 1e+20" in done.stderr
    assert "broken_0000.nii.gz can't be read" in done.stderr
    assert sorted(path.name for path in output.iterdir()) == ["first.nii.gz", "second case.nii.gz"]
    nnunet_predicts(trained.folder, files[0], tmp_path / "nnunet" / "first", ["0"])
    ours, theirs = (
        SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / name / "first.nii.gz"))) for name in ("out", "nnunet")
    )
    assert (ours == theirs).mean() >= 0.999

    refused = command("predict-onnx", "-i", str(images), "-o", str(output), "-m", str(folder))
    assert refused.exit_code == 1
    assert "already has segmentations of 2 of 5 cases" in refused.output
    before = (output / "first.nii.gz").stat().st_mtime_ns
    for name in ("broken", "micrometres", "astronomic"):
        (images / f"{name}_0000.nii.gz").unlink()
    again = command("predict-onnx", "-i", str(images), "-o", str(output), "-m", str(folder), "--overwrite", "--disable_tta")
    assert again.exit_code == 0, again.output
    assert (output / "first.nii.gz").stat().st_mtime_ns > before
    in_the_way = command("predict-onnx", "-i", str(images), "-o", str(output / "first.nii.gz" / "out"), "-m", str(folder))
    assert in_the_way.exit_code == 1
    assert "can't be made (Not a directory): name another folder" in in_the_way.output


@pytest.mark.usefixtures("trained")
def test_stock(command, tmp_path):
    result = command("export", "-d", "9", "-c", "2d", "-tr", TRAINER, "-f", "0", "--stock", "-o", str(tmp_path / "shared"))
    assert result.exit_code == 0, result.output
    archive = tmp_path / "shared" / "Dataset009_Noise__nnUNetTrainer__nnUNetPlans_EGEUNet__2d.zip"
    assert archive.is_file()
    assert f"nnUNetv2_install_pretrained_model_from_zip {archive}" in result.output
    assert "nnUNetv2_predict -i IN -o OUT -d 9 -c 2d -tr nnUNetTrainer -p nnUNetPlans_EGEUNet -f 0" in result.output


@pytest.mark.usefixtures("trained")
def test_web(command, tmp_path, monkeypatch):
    def export_page(model, folder, half):
        assert half
        (folder / "fold_0.onnx").parent.mkdir()
        (folder / "fold_0.onnx").write_bytes(bytes(10_000))
        return describe(model, [Fold("0", "fold_0.onnx", "", True, 0.0)], 18)

    monkeypatch.setattr("nnunetv2_ext.export.web.export_page", export_page)
    page = tmp_path / "page"
    result = command("export", "-d", "9", "-c", "2d", "-tr", TRAINER, "-f", "0", "--web", "--half", "-o", str(page))
    assert result.exit_code == 0, result.output
    assert f"predict-onnx -i IN -o OUT -m {page}" in result.output
    assert f"python -m http.server -d {page} -b localhost" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["-f", "0", "--stock", "--web"], 2, "export twice"),
        (["-f", "0", "--stock", "--half"], 2, "leave out --half"),
        (["-f", "x"], 2, "neither a number nor 'all'"),
        (["-f", "0", "1"], 1, "no checkpoint_final.pth of fold 1"),
        (["-f", "0", "-p", "nnUNetOtherPlans"], 1, "there is no trained model"),
    ],
)
@pytest.mark.usefixtures("trained")
def test_what_cannot_be_exported_is_a_sentence(command, tmp_path, arguments, code, text):
    result = command("export", "-d", "9", "-c", "2d", "-tr", TRAINER, "-o", str(tmp_path / "exported"), *arguments)
    assert result.exit_code == code
    assert text in result.output
    assert not (tmp_path / "exported").exists()


def test_folders_that_are_no_model_or_hold_no_images(command, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    result = command("predict-onnx", "-i", str(empty), "-o", str(tmp_path / "out"), "-m", str(empty))
    assert result.exit_code == 1
    assert f"{empty} has no {FILE_NAME}" in result.output
    assert not (tmp_path / "out").exists()
