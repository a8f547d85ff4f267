"""MCANet (arXiv 2312.08866), lifted to nD."""

from nnunetv2_ext.architectures.mca_net.network import MCANet

__all__ = ["MCANet"]
