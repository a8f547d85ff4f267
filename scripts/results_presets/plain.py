"""nnU-Net's own network as a preset, so that it takes our suffixes: training lengths that nnU-Net has no trainer for."""

from nnunetv2_ext.presets import Preset

plain = Preset(
    name="Plain",
    summary="nnU-Net's PlainConvUNet with nnU-Net's recipe",
    network="dynamic_network_architectures.architectures.unet.PlainConvUNet",
)
