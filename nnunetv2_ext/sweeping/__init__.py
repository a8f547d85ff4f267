"""Many runs of the stock ``nnUNetv2_train``, several at once, on this machine or on a SLURM cluster."""
