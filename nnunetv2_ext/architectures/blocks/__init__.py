"""Building blocks of the U-Nets, EGE-UNet and MCANet, one idea per file, each one class for 2D and 3D."""

from nnunetv2_ext.architectures.blocks.convolution import ConvBlock, ConvStack
from nnunetv2_ext.architectures.blocks.eab import EAB
from nnunetv2_ext.architectures.blocks.gab import GAB
from nnunetv2_ext.architectures.blocks.gate import Gate
from nnunetv2_ext.architectures.blocks.ghpa import GHPA
from nnunetv2_ext.architectures.blocks.layer_norm import ChannelLayerNorm
from nnunetv2_ext.architectures.blocks.mbtfe import MBTFE
from nnunetv2_ext.architectures.blocks.spatial_attention import SpatialAttention

__all__ = ["EAB", "GAB", "GHPA", "MBTFE", "ChannelLayerNorm", "ConvBlock", "ConvStack", "Gate", "SpatialAttention"]
