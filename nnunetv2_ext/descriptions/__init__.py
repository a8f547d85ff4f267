"""The files in which nnU-Net describes a dataset: reading them, and what may be wrong in them."""
