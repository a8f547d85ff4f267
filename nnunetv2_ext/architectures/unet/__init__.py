"""The plan's U-Net, extended with MBTFE, EAB, GHPA and GAB."""

from nnunetv2_ext.architectures.unet.block_unet import BlockUNet
from nnunetv2_ext.architectures.unet.ege import EGE

__all__ = ["EGE", "BlockUNet"]
