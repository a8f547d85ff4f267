"""Activation recomputation: a training step that keeps fewer feature maps and computes the rest again in the backward.

Every block that can recompute has a keyword ``recompute``; outputs, gradients and running statistics are the same in each mode.

- ``"none"`` runs the operations as written, and autograd keeps what it keeps.
- ``"selective"`` keeps the outputs of the convolutions. Norms and activations, which cost a few operations per value where a
  convolution costs hundreds, are computed again in the backward, a chunk of positions at a time.
- ``"full"`` keeps the inputs of a block and runs the whole block again in the backward, itself with lazy feature maps.

``modes`` picks the mode: recomputation happens in training with gradients; inference on a GPU takes the plain operations, and
inference on a CPU the lazy maps, whose channels-last layout is faster there. Under ``torch.compile`` both modes become
``torch.utils.checkpoint`` around the same operations, because the compiler fuses and recomputes better than Python can.
``lazy`` holds the lazy feature maps and the operations on them, ``producers`` how one is computed chunk by chunk and how its
gradient flows back, ``norm_activation`` the producer of norm and activation behind a convolution.
"""
