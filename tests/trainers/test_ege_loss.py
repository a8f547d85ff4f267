import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_ext.trainers.ege_loss import mask_weights
from tests.ports.ege import LossTrainer

SIZES = ((8, 8), (4, 4), (2, 2))


def outputs_for(classes: int) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, classes, *size, requires_grad=True) for size in SIZES]


def downsampled(target: Tensor) -> list[Tensor]:
    return [target, *(functional.interpolate(target, size=size, mode="nearest-exact") for size in SIZES[1:])]


def full_size(logits: Tensor) -> Tensor:
    return functional.interpolate(logits, size=SIZES[0], mode="bilinear", align_corners=True)


def sample_dice(probabilities: Tensor, one_hot: Tensor, mask: Tensor | float = 1.0) -> Tensor:
    """The mean over samples and classes of (2 |p t| + 1) / (|p| + |t| + 1)."""
    scores = []
    for p, t in zip((probabilities * mask).flatten(0, 1), (one_hot * mask).flatten(0, 1), strict=True):
        scores.append((2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1))
    return torch.stack(scores).mean()


def test_weights_are_the_published_ones() -> None:
    assert mask_weights(6) == [1, 0.5, 0.4, 0.3, 0.2, 0.1]
    assert mask_weights(3) == [1, 0.5, 0.4]
    assert mask_weights(8)[-2:] == [0.1, 0.1]


def test_labels() -> None:
    outputs, target = outputs_for(3), torch.randint(0, 3, (2, 1, *SIZES[0])).float()
    loss = LossTrainer(has_regions=False, outputs=3)._build_loss()(outputs, downsampled(target))
    one_hot = functional.one_hot(target[:, 0].long(), 3).movedim(-1, 1)
    expected = torch.tensor(0.0)
    for weight, logits in zip((1, 0.5, 0.4), map(full_size, outputs), strict=True):
        dice = sample_dice(logits.softmax(1)[:, 1:], one_hot[:, 1:])
        expected = expected + weight * (functional.cross_entropy(logits, target[:, 0].long()) - dice)
    torch.testing.assert_close(loss, expected)


def test_regions_that_ignore_some_voxels() -> None:
    outputs, regions = outputs_for(2), torch.randint(0, 2, (2, 2, *SIZES[0])).float()
    ignored = torch.zeros(2, 1, *SIZES[0])
    ignored[..., 5:] = 1
    target = downsampled(torch.cat((regions, ignored), 1))
    loss = LossTrainer(has_regions=True, ignore_label=3, outputs=3)._build_loss()(outputs, target)
    expected = torch.tensor(0.0)
    for weight, logits in zip((1, 0.5, 0.4), map(full_size, outputs), strict=True):
        entropy = functional.binary_cross_entropy_with_logits(logits[..., :5], regions[..., :5], reduction="none").sum(1).mean()
        expected = expected + weight * (entropy - sample_dice(logits.sigmoid(), regions, 1 - ignored))
    torch.testing.assert_close(loss, expected)


def test_an_ignored_voxel_of_a_label_map_has_no_gradient() -> None:
    output, target = outputs_for(3)[0], torch.randint(0, 3, (2, 1, *SIZES[0])).float()
    target[..., 5:] = 3
    LossTrainer(has_regions=False, ignore_label=3, outputs=1)._build_loss()(output, target).backward()
    assert not output.grad[..., 5:].any()
    assert output.grad[..., :5].any()


def test_without_deep_supervision_it_is_the_loss_of_the_output_alone() -> None:
    output, target = outputs_for(3)[0], torch.randint(0, 3, (2, 1, *SIZES[0])).float()
    alone = LossTrainer(has_regions=False, outputs=1)._build_loss()(output, target)
    one_hot = functional.one_hot(target[:, 0].long(), 3).movedim(-1, 1)
    dice = sample_dice(output.softmax(1)[:, 1:], one_hot[:, 1:])
    torch.testing.assert_close(alone, functional.cross_entropy(output, target[:, 0].long()) - dice)


def test_every_output_gets_a_gradient() -> None:
    outputs, target = outputs_for(3), torch.randint(0, 3, (2, 1, *SIZES[0])).float()
    LossTrainer(has_regions=False, outputs=3)._build_loss()(outputs, downsampled(target)).backward()
    assert all(output.grad.any() for output in outputs)


def test_compilation_keeps_the_dice(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = LossTrainer(has_regions=False, outputs=1)
    plain = trainer._build_loss()
    monkeypatch.setattr(trainer, "_do_i_compile", lambda: True)
    monkeypatch.setattr(torch, "compile", lambda module, _compile=torch.compile: _compile(module, backend="eager"))
    compiled = trainer._build_loss()
    assert compiled.dc is not plain.dc
    output, target = outputs_for(3)[0], torch.randint(0, 3, (2, 1, *SIZES[0])).float()
    torch.testing.assert_close(compiled(output, target), plain(output, target))
