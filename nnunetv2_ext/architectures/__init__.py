"""The networks. A plan may name any of them as its ``network_class_name``; each takes the arguments of PlainConvUNet."""

from nnunetv2_ext.architectures.ege import EGE
from nnunetv2_ext.architectures.medical_transformer import AxialUNet, GatedAxialUNet, LoGo, MedT

__all__ = ["EGE", "AxialUNet", "GatedAxialUNet", "LoGo", "MedT"]
