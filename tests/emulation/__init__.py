"""What GPUs would do, for tests on a machine without one: CUDA's autocast, SyncBatchNorm, and training on two of them."""
