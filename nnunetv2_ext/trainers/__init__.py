"""Trainers: mixins over the host's nnUNetTrainer, put together by name."""
