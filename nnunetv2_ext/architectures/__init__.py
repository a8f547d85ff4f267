"""The networks. A plan may name any of them as its ``network_class_name``; each takes the arguments of PlainConvUNet."""

from nnunetv2_ext.architectures.ege_unet import EGEUNet
from nnunetv2_ext.architectures.mca_net import MCANet
from nnunetv2_ext.architectures.medical_transformer import AxialUNet, GatedAxialUNet, LoGo, MedT
from nnunetv2_ext.architectures.unet import EGE, NarrowUNet

__all__ = ["EGE", "AxialUNet", "EGEUNet", "GatedAxialUNet", "LoGo", "MCANet", "MedT", "NarrowUNet"]
