"""The networks. A plan may name any of them as its ``network_class_name``; each takes the arguments of PlainConvUNet."""

from nnunetv2_ext.architectures.ege import EGE
from nnunetv2_ext.architectures.ege_unet import EGEUNet
from nnunetv2_ext.architectures.mca_net import MCANet

__all__ = ["EGE", "EGEUNet", "MCANet"]
