"""nnU-Net's planner for a preset's network, and the plain U-Net that nnU-Net plans."""
