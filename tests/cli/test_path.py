"""``nnUNetv2_ext path``"""

from pathlib import Path


def test_it_prints_the_folder_with_the_shim_alone(command):
    folder = Path(command("path").output.removesuffix("\n"))
    assert [file.name for file in folder.glob("*.py")] == ["nnunetv2_ext_trainers.py"]


def test_it_is_light(modules_after):
    assert not modules_after("path") & {"torch", "numpy", "nnunetv2", "rich"}
