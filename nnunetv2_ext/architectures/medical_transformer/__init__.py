"""The Medical Transformer and its ablations (MICCAI 2021, arXiv 2102.10662), lifted to nD."""

from nnunetv2_ext.architectures.medical_transformer.axial_unet import AxialUNet, GatedAxialUNet
from nnunetv2_ext.architectures.medical_transformer.logo import LoGo, MedT

__all__ = ["AxialUNet", "GatedAxialUNet", "LoGo", "MedT"]
