"""The networks. A plan may name any of them as its ``network_class_name``; each takes the arguments of PlainConvUNet."""

from nnunetv2_ext.architectures.ege import EGE

__all__ = ["EGE"]
