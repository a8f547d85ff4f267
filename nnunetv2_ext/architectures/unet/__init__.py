"""The plan's U-Net, extended with MBTFE, EAB, GHPA and GAB, with a block of the user's, or narrower."""

from nnunetv2_ext.architectures.unet.block_unet import BlockUNet
from nnunetv2_ext.architectures.unet.ege import EGE
from nnunetv2_ext.architectures.unet.narrow import NarrowUNet

__all__ = ["EGE", "BlockUNet", "NarrowUNet"]
