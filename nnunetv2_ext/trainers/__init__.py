"""Trainers: mixins over nnU-Net's nnUNetTrainer, put together by name."""
