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
    ],
)
def test_an_unknown_name_gets_the_nearest(name, nearest):
    with pytest.raises(UnknownTrainerError, match=rf"there is no trainer {name}\. Did you mean .*{nearest}\b"):
        parse(name)


@pytest.mark.parametrize(
    "name", ["nnUNetTrainerUMambaBot", "nnUNetTrainer_250epochs", "nnUNetTrainerSwinUNETR", "nnUNetTrainer"]
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
        "nnUNetTrainerEGEDiceLossAdan",
        "EGE",
        "",
    ],
)
def test_what_is_no_name(name):
    with pytest.raises(UnknownTrainerError, match="A name is nnUNetTrainer<Preset>"):
        parse(name)
