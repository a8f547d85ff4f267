import contextlib
import copy
import io
import pickle
from collections import OrderedDict
from pathlib import Path
from unittest import mock

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_ext.errors import CheckpointError
from nnunetv2_ext.trainers.pretrained import AdaptableState, fit, stock_name
from tests.plans import arguments, network
from tests.trainers.runs import make_trainer


def start(preset: str, weights: dict[str, torch.Tensor], folder: Path, monkeypatch):
    """What nnUNetv2_train does with -pretrained_weights, up to the first epoch."""
    path = folder / "pretrained.pth"
    torch.save({"network_weights": weights}, path)
    trainer = make_trainer(f"nnUNetTrainer{preset}", folder, monkeypatch)
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.initialize()
        load_pretrained_weights(trainer.network, str(path), verbose=True)
        with mock.patch.object(nnUNetTrainer, "on_train_start"):
            trainer.on_train_start()
    assert type(trainer.network.state_dict()) is OrderedDict
    return trainer


def log_of(trainer) -> str:
    return Path(trainer.log_file).read_text()


@pytest.mark.parametrize("preset", ["EGE", "EGEUNet", "MedT", "MCANet"])
def test_the_same_network_takes_everything_but_the_heads(preset, tmp_path, monkeypatch):
    weights = network(preset, "3d", classes=5).state_dict()
    trainer = start(preset, weights, tmp_path, monkeypatch)
    heads = [name for name in weights if ".seg_layers." in name]
    own = trainer.network.state_dict()
    for name in weights:
        assert (name in heads) or torch.equal(own[name], weights[name]), name
    total = len(weights)
    assert f"Pretrained weights: {total - len(heads)} of the network's {total} tensors are taken from the file." in log_of(
        trainer
    )


@pytest.mark.parametrize(
    ("theirs", "ours"), [("EGE", "MBTFE"), ("GAB", "EGE"), ("EGEUNetNoMaps", "EGEUNet"), ("MedT", "MedTNoGates")]
)
def test_another_preset_of_the_family_takes_what_both_have(theirs, ours, tmp_path, monkeypatch):
    weights = network(theirs, "3d").state_dict()
    trainer = start(ours, weights, tmp_path, monkeypatch)
    own = trainer.network.state_dict()
    common = [name for name in own if name in weights and own[name].shape == weights[name].shape and ".seg_layers." not in name]
    assert common
    assert all(torch.equal(own[name], weights[name]) for name in common)
    assert f"Pretrained weights: {len(common)} of" in log_of(trainer)


def test_a_network_that_is_to_be_compiled_takes_them_too(tmp_path, monkeypatch):
    monkeypatch.setattr("nnunetv2_ext.trainers.base.ExtensionTrainer._do_i_compile", lambda _: True)
    weights = network("EAB", "3d").state_dict()
    trainer = start("EAB", weights, tmp_path, monkeypatch)
    own = trainer.network._orig_mod.state_dict()
    assert type(own) is OrderedDict
    assert torch.equal(own["encoder.stages.0.0.conv.weight"], weights["encoder.stages.0.0.conv.weight"])
    assert "Pretrained weights: " in log_of(trainer)


def test_weights_of_the_stock_network_go_into_ege(tmp_path, monkeypatch):
    stock = PlainConvUNet(**arguments("3d"))
    trainer = start("EGE", stock.state_dict(), tmp_path, monkeypatch)
    own, theirs = trainer.network.state_dict(), stock.state_dict()
    assert torch.equal(own["encoder.stages.2.1.conv.weight"], theirs["encoder.stages.2.0.convs.1.conv.weight"])
    assert torch.equal(own["decoder.stages.0.0.norm.bias"], theirs["decoder.stages.0.convs.0.norm.bias"])
    assert torch.equal(own["decoder.transpconvs.1.weight"], theirs["decoder.transpconvs.1.weight"])
    x = torch.randn(2, 1, 16, 16, 16)
    for skip, expected in zip(trainer.network.encoder(x), stock.encoder(x), strict=True):  # no block adds anything yet
        torch.testing.assert_close(skip, expected)
    log = log_of(trainer)
    assert "Pretrained weights: 44 of the network's" in log
    assert "since the file doesn't have them: encoder.mbtfe (" in log
    assert "decoder.seg_layers (4)" in log
    assert "In the file, but not in the network" not in log


@pytest.mark.parametrize(
    ("preset", "name"), [("EGE", "encoder.stages.0.0.conv.weight"), ("MedT", "local_branch.stem.0.weight")]
)
@pytest.mark.parametrize(("there", "how"), [(1, ""), (2, "averaged over the 2 channels"), (4, "averaged over the 4 channels")])
def test_the_first_convolution_fits_any_number_of_channels(there, how, preset, name, tmp_path, monkeypatch):
    weights = network(preset, "3d", channels=there).state_dict()
    trainer = start(preset, weights, tmp_path, monkeypatch)
    own = trainer.network.state_dict()[name]
    torch.testing.assert_close(own, weights[name].sum(1, keepdim=True))
    assert (f"{name} has {there} input channels in the file and 1 here: {how}" in log_of(trainer)) is (there > 1)


def test_one_channel_is_repeated():
    weights, own = network("EGE", "3d", channels=1).state_dict(), network("EGE", "3d", channels=3).state_dict()
    transfer = fit(own, weights, input_channels=3)
    name = "encoder.stages.0.0.conv.weight"
    assert transfer.adapted == [f"{name} has 1 input channels in the file and 3 here: repeated for each channel, times 1/3."]
    torch.testing.assert_close(transfer.taken[name], weights[name].expand_as(own[name]) / 3)
    image = torch.randn(1, 1, 16, 16, 16)
    response = [
        torch.nn.functional.conv3d(x, w)
        for x, w in ((image, weights[name]), (image.expand(1, 3, -1, -1, -1), transfer.taken[name]))
    ]
    torch.testing.assert_close(*response)


def test_what_is_left_is_listed():
    own = network("EGE", "3d").state_dict()
    transfer = fit(own, {"encoder.stages.0.0.conv.weight": torch.zeros(4, 1, 3, 3, 3), "head.weight": torch.zeros(2, 2)}, 1)
    assert not transfer.taken
    assert transfer.reshaped == ["encoder.stages.0.0.conv.weight"]
    assert transfer.unknown == ["head.weight"]
    lines = transfer.lines()
    assert "Initialised, since the file has them in another shape: encoder.stages (1)" in lines
    assert "In the file, but not in the network: head.weight (1)" in lines
    assert "Initialised, as nnU-Net does with all segmentation layers: decoder.seg_layers (4)" in lines
    assert sum("seg_layers" in line for line in lines) == 1


@pytest.mark.parametrize(
    "weights", [{}, {"encoder.stages.0.0.conv.bias": torch.zeros(8)}, {"body.0.weight": torch.zeros(3, 3)}]
)
def test_nothing_that_fits_is_refused_in_a_sentence(weights, tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match=rf"has nothing that fits EGE: none of its {len(weights)} tensors .*same family"):
        start("EGE", weights, tmp_path, monkeypatch)


def test_names_of_the_stock_network():
    stock = PlainConvUNet(**arguments("3d")).state_dict()
    ours = network("EGE", "3d").state_dict()
    assert sum(stock_name(name) in stock for name in ours) == 48
    assert stock_name("encoder.mbtfe.0.norm.weight") == "encoder.mbtfe.0.norm.weight"


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEUNet", tmp_path, monkeypatch)
    trainer.initialize()
    return trainer


def test_until_the_training_starts_the_state_dict_is_like_any_other(trainer):
    state, plain = trainer.network.state_dict(), network("EGEUNet", "3d").state_dict()
    assert isinstance(state, AdaptableState)
    assert list(state) == list(plain) == list(state.keys())
    assert [name for name, _ in state.items()] == list(plain)
    assert state._metadata == plain._metadata
    for same in (copy.deepcopy(state), state.copy(), pickle.loads(pickle.dumps(state))):
        assert type(same) is OrderedDict
        assert {type(name) for name in same} == {str}
        assert list(same) == list(plain)
        assert same._metadata == plain._metadata
    trainer.network.load_state_dict(state)
    network("EGEUNet", "3d").load_state_dict(state)


def test_afterwards_it_is_an_ordinary_one(trainer):
    trainer.save_checkpoint(f"{trainer.output_folder}/checkpoint_latest.pth")
    trainer.load_checkpoint(f"{trainer.output_folder}/checkpoint_latest.pth")
    assert type(trainer.network.state_dict()) is OrderedDict


def test_a_checkpoint_that_is_written_before_has_ordinary_names(trainer):
    trainer.save_checkpoint(f"{trainer.output_folder}/checkpoint_latest.pth")
    weights = torch.load(f"{trainer.output_folder}/checkpoint_latest.pth", weights_only=False)["network_weights"]
    assert type(weights) is OrderedDict
    assert {type(name) for name in weights} == {str}
