"""Where our folder is that nnU-Net's variable ``nnUNet_extTrainer`` has to name. Imports no torch."""

from pathlib import Path

SHIM = Path(__file__).parent / "trainers" / "shim"
