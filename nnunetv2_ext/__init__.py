"""Architectures and training recipes for stock nnU-Net v2, installed beside it, without a fork."""

__version__ = "0.2.0"
