"""nnU-Net's own network as a preset, so that stock can be trained with each recipe that ours are trained with."""

from nnunetv2_ext.presets.preset import Preset

PLAIN = Preset(
    name="Plain",
    summary="nnU-Net's PlainConvUNet and recipe, to be changed by suffixes",
    paper="nnU-Net (arXiv 1904.08128)",
    network="dynamic_network_architectures.architectures.unet.PlainConvUNet",
)
