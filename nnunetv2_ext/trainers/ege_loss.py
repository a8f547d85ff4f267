"""EGE-UNet's loss: output and masks compared at full size, with weights that decrease from fine to coarse."""

from collections.abc import Sequence

from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor, nn

from nnunetv2_ext.architectures.operations import resize
from nnunetv2_ext.trainers.losses import compound_loss


def mask_weights(outputs: int) -> list[float]:
    """1 for the output, then 0.5, 0.4, 0.3, 0.2, 0.1 for the masks from fine to coarse, and 0.1 for any coarser one."""
    return [1.0, *(max(5 - mask, 1) / 10 for mask in range(outputs - 1))]


class FullSizeSupervision(DeepSupervisionWrapper):
    """Compares every output, interpolated to the size of the finest target, with that target."""

    def forward(self, outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        target = targets[0]
        return super().forward([resize(output, target.shape[2:]) for output in outputs], [target] * len(outputs))


class EGELossMixin(nnUNetTrainer):
    """The loss of EGE-UNet (MICCAI 2023, arXiv 2307.08473), built from nnU-Net's.

    nnU-Net's compound loss with the paper's Dice, per sample and smoothed by 1, of the output and of the masks at full size,
    with the paper's weights. Labels, regions, the ignore label and compilation are nnU-Net's; no weight is zero, so
    distributed training finds a gradient for every parameter, and Dice per sample has nothing to gather.

    Differs from the paper: several classes have a Dice each, averaged without the background, and cross-entropy in place of
    its binary form unless they are regions.
    """

    def _build_loss(self) -> nn.Module:
        loss = super()._build_loss()
        compound = compound_loss(loss)
        dice = getattr(compound.dc, "_orig_mod", compound.dc)  # under its compilation
        dice.smooth, dice.batch_dice = 1.0, False
        if not self.enable_deep_supervision:
            return compound
        return FullSizeSupervision(compound, mask_weights(len(self._get_deep_supervision_scales())))
