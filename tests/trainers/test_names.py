import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunetv2_ext.errors import UnknownTrainerError
from nnunetv2_ext.presets import PRESETS
from nnunetv2_ext.trainers.names import LOSSES, OPTIMIZERS, all_names, nearest, parse


def test_every_name_says_what_it_was_made_of():
    for preset in PRESETS:
        for optimizer in ("", *OPTIMIZERS):
            for loss in ("", *LOSSES):
                parsed = parse(f"nnUNetTrainer{preset}{optimizer}{loss}_3epochs")
                assert parsed.preset.name == preset
                assert (parsed.optimizer or "", parsed.loss or "", parsed.epochs) == (optimizer, loss, 3)


def test_no_two_trainers_have_one_name():
    assert len(all_names()) == len(set(all_names()))


@given(epochs=st.integers(1, 10**6), iterations=st.integers(1, 10**6))
def test_any_numbers(epochs, iterations):
    parsed = parse(f"nnUNetTrainerEGE_{epochs}epochs_{iterations}iters")
    assert (parsed.epochs, parsed.iterations) == (epochs, iterations)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("nnUNetTrainerEGGE", "nnUNetTrainerEGE"),
        ("nnUNetTrainerMBTFEAEB", "nnUNetTrainerMBTFEEAB"),
        ("nnUNetTrainerEGEAdann", "nnUNetTrainerEGEAdan"),
        ("nnUNetTrainerEGEDiceLos", "nnUNetTrainerEGEDiceLoss"),
        ("nnUNetTrainerEGGE_50epochs_25iters", "nnUNetTrainerEGE"),
        ("nnUNetTrainerMCANetWithSomethingMoreToIt", "nnUNetTrainerMCANet"),
        ("nnUNetTrainerEGE_NoMirroring", "nnUNetTrainerEGENoMirroring"),
        ("nnUNetTrainerMedTonlyMirror01", "nnUNetTrainerMedT_onlyMirror01"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name, nearest):
    with pytest.raises(UnknownTrainerError, match=rf"there is no trainer {name}\. Did you mean .*{nearest}\b"):
        parse(name)


@pytest.mark.parametrize(
    "name", ["nnUNetTrainerUMambaBot", "nnUNetTrainer_250epochs", "nnUNetTrainerLightMUNet", "nnUNetTrainer"]
)
def test_a_name_of_another_package_resembles_none_of_ours(name):
    assert nearest(name) == []


@pytest.mark.parametrize(
    "name",
    [
        "nnUNetTrainer",
        "nnUNetTrainerAdan",
        "nnUNetTrainerEGE_0epochs",
        "nnUNetTrainerEGE_5iters",
        "nnUNetTrainerEGE_2epochs_0iters",
        "nnUNetTrainerEGE_lr1.5e-3",
        "nnUNetTrainerEGE_lr0",
        "nnUNetTrainerEGE_NoMirroring",
        "EGE",
        "",
    ],
)
def test_what_is_no_name(name):
    with pytest.raises(UnknownTrainerError, match="A name is nnUNetTrainer<Preset>"):
        parse(name)


def test_suffixes_may_be_in_any_order():
    for suffixes in ("DiceLossAdan_3epochs", "Adan_3epochsDiceLoss", "_3epochsAdanDiceLoss"):
        parsed = parse(f"nnUNetTrainerEGE{suffixes}")
        assert (parsed.optimizer, parsed.loss, parsed.epochs) == ("Adan", "DiceLoss", 3)


@pytest.mark.parametrize(
    ("suffixes", "expected"),
    [
        ("Adan", {"optimizer": "Adan"}),
        ("Adan1en3", {"variants": ("Adan1en3",)}),
        ("DiceLoss_250epochs", {"loss": "DiceLoss", "epochs": 250}),
        ("NoMirroring_250epochs", {"variants": ("NoMirroring",), "epochs": 250}),
        ("_250epochs_NoMirroring", {"variants": ("_250epochs_NoMirroring",)}),
        ("CELoss_5epochs_10iters", {"variants": ("CELoss",), "epochs": 5, "iterations": 10}),
        ("AdanCosAnneal", {"optimizer": "Adan", "variants": ("CosAnneal",)}),
        ("_lr3e-4_wd0_bs12", {"learning_rate": 3e-4, "weight_decay": 0, "batch_size": 12}),
    ],
)
def test_what_suffixes_say(suffixes, expected):
    parsed = parse(f"nnUNetTrainerMedT{suffixes}")
    said = {name: value for name, value in vars(parsed).items() if value not in (None, ())}
    assert said == {"name": f"nnUNetTrainerMedT{suffixes}", "preset": PRESETS["MedT"], **expected}
