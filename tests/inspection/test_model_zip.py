import json
import pickle
import stat
import zipfile

import pytest
import torch

from nnunetv2_ext.errors import UnsafeFileError
from nnunetv2_ext.inspection.model_zip import Other, inspect_file
from nnunetv2_ext.presets.adapt import ADAPTER
from nnunetv2_ext.runs import RUN_CARD
from tests.inspection.hostile import Touch

FOLD = "Dataset999_Tiny/nnUNetTrainerEGE__nnUNetPlans__2d/fold_0"


def write_zip(file, members):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members:
            archive.writestr(member, content)
    return file


@pytest.fixture
def checkpoint(tmp_path):
    torch.save({"trainer_name": "nnUNetTrainerEGE", "current_epoch": 7}, tmp_path / "checkpoint_final.pth")
    return tmp_path / "checkpoint_final.pth"


def test_a_checkpoint_and_the_run_card_beside_it(checkpoint):
    (checkpoint.parent / RUN_CARD).write_text(json.dumps({"versions": {"torch": "2.4"}}))
    found = inspect_file(checkpoint)[""]
    assert (found.trainer, found.epochs, found.versions) == ("nnUNetTrainerEGE", 7, {"torch": "2.4"})


def test_a_model_zip(checkpoint, tmp_path):
    members = [
        (f"{FOLD}/checkpoint_final.pth", checkpoint.read_bytes()),
        (f"{FOLD}/{RUN_CARD}", json.dumps({"versions": {"torch": "2.4"}})),
        ("Dataset999_Tiny/postprocessing.pkl", pickle.dumps(([], []))),
        ("Dataset999_Tiny/dataset.json", "{}"),
    ]
    found = inspect_file(write_zip(tmp_path / "model.zip", members))
    assert list(found) == [f"{FOLD}/checkpoint_final.pth", "Dataset999_Tiny/postprocessing.pkl"]
    assert found[f"{FOLD}/checkpoint_final.pth"].versions == {"torch": "2.4"}
    assert all(part.suspicious == [] for part in found.values())


def test_the_pickles_beside_the_checkpoints_are_looked_at(checkpoint, tmp_path):
    touched = tmp_path / "was here"
    members = [("a/checkpoint_final.pth", checkpoint.read_bytes()), ("a/postprocessing.pkl", pickle.dumps(Touch(touched)))]
    found = inspect_file(write_zip(tmp_path / "model.zip", members))
    assert [name.split(".")[-1] for name in found["a/postprocessing.pkl"].suspicious] == ["system"]
    assert not touched.exists()


def test_the_plans_beside_the_checkpoints_are_looked_at(checkpoint, tmp_path):
    network = {"network_class_name": ADAPTER, "arch_kwargs": {"network": "os.system"}}
    plans = {"configurations": {"2d": {}, "3d_fullres": {"architecture": network}}}
    members = [("a/checkpoint_final.pth", checkpoint.read_bytes()), ("a/Plans.json", json.dumps(plans))]
    assert inspect_file(write_zip(tmp_path / "model.zip", members))["a/Plans.json"] == Other(
        [ADAPTER, "os.system"], ["os.system"]
    )


@pytest.mark.parametrize("plans", ["cut of", b"\xff", "[" * 100_000])
def test_damaged_plans_in_a_model_zip_are_named(plans, checkpoint, tmp_path):
    members = [("a/checkpoint_final.pth", checkpoint.read_bytes()), ("a/plans.json", plans)]
    with pytest.raises(UnsafeFileError, match=r"a/plans.json in .*model.zip is no valid JSON .*Don't predict"):
        inspect_file(write_zip(tmp_path / "model.zip", members))


@pytest.mark.parametrize("member", ["a/plans.json", "a/postprocessing.pkl", f"a/{RUN_CARD}"])
def test_a_file_larger_than_any_is_refused(member, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("nnunetv2_ext.inspection.model_zip.LARGEST", 10)
    members = [("a/checkpoint_final.pth", checkpoint.read_bytes()), (member, "long content")]
    with pytest.raises(UnsafeFileError, match=f"{member} in .*model.zip has 12 bytes, more than any"):
        inspect_file(write_zip(tmp_path / "model.zip", members))


def test_the_postprocessing_of_nnunet_is_harmless(checkpoint, tmp_path):
    from nnunetv2.postprocessing.remove_connected_components import remove_all_but_largest_component_from_segmentation

    postprocessing = pickle.dumps(([remove_all_but_largest_component_from_segmentation], [{"labels_or_regions": 1}]))
    members = [("a/checkpoint_final.pth", checkpoint.read_bytes()), ("a/postprocessing.pkl", postprocessing)]
    assert inspect_file(write_zip(tmp_path / "model.zip", members))["a/postprocessing.pkl"].suspicious == []


@pytest.mark.parametrize("member", ["../a.pth", "a/../../b.pth", "/etc/a.pth", "..\\a.pth", "C:\\a.pth", "C:a.pth"])
def test_a_zip_that_climbs_out_of_its_folder_is_refused(member, tmp_path):
    with pytest.raises(UnsafeFileError, match=r"model.zip is refused: its member .* climbs out of its folder. Don't unpack it"):
        inspect_file(write_zip(tmp_path / "model.zip", [(member, "")]))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_zip_with_a_link_or_a_device_is_refused(kind, tmp_path):
    member = zipfile.ZipInfo("a/checkpoint_final.pth")
    member.external_attr = (kind | 0o777) << 16
    with pytest.raises(UnsafeFileError, match=r"a/checkpoint_final.pth is a link or a device, no file"):
        inspect_file(write_zip(tmp_path / "model.zip", [(member, "/etc/passwd")]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_two_files_of_a_name_is_refused(tmp_path):
    with pytest.raises(UnsafeFileError, match=r"a.pth is in it twice, so that one hides the other"):
        inspect_file(write_zip(tmp_path / "model.zip", [("a.pth", ""), ("a.pth", "")]))


@pytest.mark.parametrize("second", ["A.pth", "a.PTH", "./a.pth"])
def test_a_zip_with_two_names_for_one_file_is_refused(second, tmp_path):
    with pytest.raises(UnsafeFileError, match=r"is in it twice, so that one hides the other"):
        inspect_file(write_zip(tmp_path / "model.zip", [("a.pth", ""), (second, "")]))


def test_a_pickle_in_front_of_a_zip_is_refused(checkpoint):
    checkpoint.write_bytes(pickle.dumps(Touch(checkpoint.parent / "was here"), protocol=2) + checkpoint.read_bytes())
    with pytest.raises(UnsafeFileError, match=r"checkpoint_final.pth has something in front of its zip"):
        inspect_file(checkpoint)


@pytest.mark.parametrize("decoy", ["Dataset999_Tiny/data.pkl", "archive/data.pkl", "Dataset999_Tiny/code/CONSTANTS.pkl"])
@pytest.mark.parametrize("other", [f"{FOLD}/checkpoint_final.PTH", f"{FOLD}/plans.json", "."])
def test_a_model_zip_that_looks_like_a_checkpoint_is_refused(decoy, other, tmp_path):
    members = [(decoy, pickle.dumps({})), (other, pickle.dumps(Touch(tmp_path / "was here")))]
    with pytest.raises(UnsafeFileError, match=r"model.zip holds the parts of a checkpoint .data.pkl. and other files"):
        inspect_file(write_zip(tmp_path / "model.zip", members))


@pytest.mark.parametrize("ending", [".PTH", ".Pkl"])
def test_endings_in_capitals_are_looked_at(ending, checkpoint, tmp_path):
    members = [("a/checkpoint_best.pth", checkpoint.read_bytes()), (f"a/other{ending}", b"cut of")]
    with pytest.raises(UnsafeFileError, match=f"a/other{ending} in .*model.zip can't be read"):
        inspect_file(write_zip(tmp_path / "model.zip", members))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 and nothing"])
def test_what_is_no_zip_is_refused(content, tmp_path):
    (tmp_path / "model.zip").write_bytes(content)
    with pytest.raises(UnsafeFileError, match=r"model.zip can't be read .*It should be a checkpoint"):
        inspect_file(tmp_path / "model.zip")


def test_a_zip_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(UnsafeFileError, match=r"model.zip holds no checkpoint"):
        inspect_file(write_zip(tmp_path / "model.zip", [("a.txt", "")]))


def test_a_damaged_checkpoint_in_a_model_zip_is_named(checkpoint, tmp_path):
    members = [("a/checkpoint_final.pth", checkpoint.read_bytes()[:200])]
    with pytest.raises(UnsafeFileError, match=r"a/checkpoint_final.pth in .*model.zip can't be read as a checkpoint"):
        inspect_file(write_zip(tmp_path / "model.zip", members))


def test_a_damaged_pickle_in_a_model_zip_is_named(checkpoint, tmp_path):
    members = [("a/checkpoint_final.pth", checkpoint.read_bytes()), ("a/postprocessing.pkl", b"cut of")]
    with pytest.raises(UnsafeFileError, match=r"a/postprocessing.pkl in .*model.zip can't be read .*Don't load it"):
        inspect_file(write_zip(tmp_path / "model.zip", members))
