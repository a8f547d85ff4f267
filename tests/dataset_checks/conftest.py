import pytest

from nnunetv2_ext.paths import HOST_FOLDERS
from tests.dataset_checks.faults import SoundDataset


@pytest.fixture
def sound(tmp_path, monkeypatch) -> SoundDataset:
    parent = tmp_path / "a folder with spaces"
    for name in HOST_FOLDERS:
        monkeypatch.setenv(name, str(parent / name))
    return SoundDataset(parent)
