import _codecs
import json
import pickle
import zipfile
from collections import OrderedDict
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from nnunetv2_ext.architectures.blocks import GHPA
from nnunetv2_ext.errors import UnsafeFileError
from nnunetv2_ext.inspection.checkpoint import inspect_checkpoint, named_by, versions_of
from nnunetv2_ext.presets import PRESETS
from nnunetv2_ext.presets.adapt import ADAPTER
from nnunetv2_ext.presets.with_block import BLOCK_UNET, with_block
from tests.inspection.hostile import BROKEN, Made, Touch, checkpoint, opcodes
from tests.trainers.runs import make_trainer


def inspected(file, versions=()):
    with file.open("rb") as stream:
        return inspect_checkpoint(stream, str(file), dict(versions))


def test_it_says_what_torch_would_have_loaded(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEAdan_3epochs", tmp_path, monkeypatch)
    trainer.initialize()
    trainer.logger.log("dice_per_class_or_region", [0.25, 0.5], 0)
    trainer._best_ema = 0.375
    file = tmp_path / "checkpoint_best.pth"
    trainer.save_checkpoint(str(file))
    found = inspected(file, {"torch": "1"})
    assert (found.trainer, found.preset) == ("nnUNetTrainerEGEAdan_3epochs", "EGE")
    assert (found.dataset, found.plans, found.configuration, found.fold) == ("Dataset999_Tiny", "nnUNetPlans", "3d", "0")
    assert (found.epochs, found.best_ema_dice, found.last_dice_per_class) == (1, 0.375, [0.25, 0.5])
    tensors = torch.load(file, weights_only=False)["network_weights"]
    assert found.parameters == sum(tensor.numel() for tensor in tensors.values())
    assert (found.plan["patch_size"], found.plan["batch_size"]) == ([16, 16, 16], 2)
    assert found.versions == {"torch": "1"}
    assert "torch._utils._rebuild_tensor_v2" in found.imports
    assert found.suspicious == []


def test_a_checkpoint_that_says_nothing(tmp_path):
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pth")
    found = inspected(tmp_path / "other.pth")
    assert (found.trainer, found.preset, found.epochs, found.parameters, found.plan) == (None, None, None, None, {})


def test_a_tensor_under_two_names_counts_once(tmp_path):
    weight = torch.zeros(3, 4)
    torch.save({"network_weights": {"a": weight, "b": weight, "c": torch.zeros(5)}}, tmp_path / "shared.pth")
    assert inspected(tmp_path / "shared.pth").parameters == 17


@pytest.mark.parametrize("way", opcodes(Path()))
def test_what_would_run_is_suspicious_and_does_not_run(way, tmp_path):
    file = tmp_path / "was here"
    found = inspected(checkpoint(tmp_path / "hostile.pth", opcodes(file)[way]))
    assert len(found.suspicious) == 1
    assert not file.exists()


@pytest.mark.parametrize(
    "named", ["subprocess.Popen", "torch.nn.modules.module.torch.hub.load", "nnunetv2_ext.architectures.ege.os.system"]
)
@pytest.mark.parametrize("place", ["network_class_name", "conv_op"])
def test_what_a_plan_names_is_suspicious_if_it_is_no_network(named, place, tmp_path):
    architecture = {"network_class_name": "torch.nn.Conv2d", "arch_kwargs": {}, "_kw_requires_import": ["conv_op"]}
    (architecture if place == "network_class_name" else architecture["arch_kwargs"])[place] = named
    plans = {"configurations": {"2d": {"inherits_from": "base"}, "base": {"architecture": architecture}}}
    torch.save({"init_args": {"plans": plans, "configuration": "2d"}}, tmp_path / "a.pth")
    assert inspected(tmp_path / "a.pth").suspicious == [named]


def of_network(name, **arguments):
    architecture = {"network_class_name": name, "arch_kwargs": arguments, "_kw_requires_import": ["nonlin"]}
    return {"configurations": {"2d": {}, "3d": {"architecture": architecture}}}


def of_plans(plans):
    return {"init_args": {"plans": plans}}


EVIL = of_network("os.system")
NEEDING = {"arch_kwargs": {"act": "os.system"}, "_kw_requires_import": {"act"}}
HIDDEN = {
    "an OrderedDict of all": ("os.system", OrderedDict(of_plans(EVIL))),
    "plans made of pairs": ("os.system", of_plans(Made(OrderedDict, (list(EVIL.items()),)))),
    "a configuration behind a number": ("os.system", of_plans({"configurations": {"1": EVIL["configurations"]["3d"], 1: {}}})),
    "a set of arguments": ("os.system", of_plans({"configurations": {"2d": {"architecture": NEEDING}}})),
    "text of numpy's": (".multiarray.scalar", of_plans(of_network(np.str_("os.system")))),
    "a key of numpy's": (".multiarray.scalar", of_plans({np.str_("configurations"): EVIL["configurations"]})),
    "text in another code": ("_codecs.encode", of_plans(of_network(Made(_codecs.encode, ("bf.flfgrz", "rot13"))))),
}


@pytest.mark.parametrize("where", HIDDEN)
def test_a_name_is_suspicious_wherever_plans_hide_it(where, tmp_path):
    expected, content = HIDDEN[where]
    (suspicious,) = inspected(checkpoint(tmp_path / "hidden.pth", pickle.dumps(content, protocol=4))).suspicious
    assert suspicious.endswith(expected)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_plans_of_presets_are_harmless(preset):
    named, suspicious = named_by(of_network(preset.network, **preset.arguments))
    assert preset.network in named
    assert suspicious == set()


@pytest.mark.parametrize("block", [GHPA, "torch.nn.Identity"])
def test_plans_with_a_known_block_are_harmless(block):
    preset = with_block("Mine", block, bottleneck=True)
    named, suspicious = named_by(of_network(preset.network, **preset.arguments))
    assert len(named) == 2
    assert suspicious == set()


@pytest.mark.parametrize(("network", "argument"), [(ADAPTER, "network"), (BLOCK_UNET, "block")])
@pytest.mark.parametrize("named", ["os.system", "monai.networks.nets.os.system", ADAPTER, BLOCK_UNET])
def test_what_a_network_of_ours_imports_is_suspicious_if_it_is_no_network(network, argument, named):
    assert named_by(of_network(network, **{argument: named}))[1] == {named}


def test_a_network_that_imports_is_suspicious_in_another_place():
    assert named_by(of_network("torch.nn.Conv2d", nonlin=ADAPTER, nonlin_kwargs={"network": "os.system"}))[1] == {ADAPTER}


@pytest.mark.parametrize("needed", [["act"], {"act": 0}])
def test_all_that_nnunet_imports_is_looked_at(needed):
    plans = {"configurations": {"2d": {"architecture": {"arch_kwargs": {"act": "os.system"}, "_kw_requires_import": needed}}}}
    assert named_by(plans) == ({"os.system"}, {"os.system"})


@pytest.mark.parametrize("plans", [None, [], {"configurations": [1]}, {"configurations": {"2d": {"architecture": 1}}}])
def test_plans_that_are_none_name_nothing(plans):
    assert named_by(plans) == (set(), set())


def test_plans_that_inherit_from_each_other_have_an_end(tmp_path):
    plans = {"configurations": {"2d": {"inherits_from": "3d", "batch_size": 2}, "3d": {"inherits_from": "2d"}}}
    torch.save({"init_args": {"plans": plans, "configuration": "2d"}}, tmp_path / "a.pth")
    assert inspected(tmp_path / "a.pth").plan == {"batch_size": 2}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_pickle_is_refused(what, tmp_path):
    file = checkpoint(tmp_path / "broken.pth", BROKEN[what])
    with pytest.raises(UnsafeFileError, match=r"broken.pth can't be read as a checkpoint .*Don't load it"):
        inspected(file)


@pytest.mark.parametrize("member", ["data.pkl", "a/b/data.pkl", "archive/other.pkl", "archive/data.txt"])
def test_a_pickle_in_another_place_is_refused(member, tmp_path):
    with pytest.raises(UnsafeFileError, match=r"odd.pth is no checkpoint that torch.save wrote: it should hold one pickle"):
        inspected(checkpoint(tmp_path / "odd.pth", pickle.dumps({}), member=member))


def test_a_second_pickle_whose_name_has_capitals_is_refused(tmp_path):
    file = checkpoint(tmp_path / "two.pth", pickle.dumps({}))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("archive/DATA.PKL", pickle.dumps(Touch(tmp_path / "was here")))
    with pytest.raises(UnsafeFileError, match=r"holds archive/data.pkl, archive/DATA.PKL. Don't load it"):
        inspected(file)


def test_a_program_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), tmp_path / "script.pth")
    with pytest.raises(UnsafeFileError, match=r"script.pth is TorchScript, a program"):
        inspected(tmp_path / "script.pth")


def test_a_pickle_larger_than_any_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("nnunetv2_ext.inspection.checkpoint.LARGEST", 10)
    with pytest.raises(UnsafeFileError, match=r"the pickle in large.pth has .* bytes, more than any"):
        inspect_checkpoint(BytesIO(checkpoint(tmp_path / "a", pickle.dumps("long text")).read_bytes()), "large.pth", {})


@pytest.mark.parametrize(
    ("card", "versions"),
    [
        (json.dumps({"versions": {"torch": "2.4"}}), {"torch": "2.4"}),
        ("{}", {}),
        ("[]", {}),
        ("cut of", {}),
        ('{"versions": 1}', {}),
        ("[" * 100_000, {}),
    ],
)
def test_versions_of_a_run_card(card, versions):
    assert versions_of(card.encode()) == versions
