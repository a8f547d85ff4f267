"""The gates of gated axial attention."""

import torch
from torch import Tensor, nn


class AttentionGates(nn.Module):
    """Four learned scalars that weigh the position terms of an axial attention (Medical Transformer, arXiv 2102.10662).

    The terms of position start at 0.1 and that of the values at 1, so that a small data set, from which positions are hard to
    learn, starts nearly without them. The authors leave the gates alone for the first 10 epochs.

    While ``frozen`` is set the gates get a gradient of zero, not none, because distributed training waits for the gradient of
    every parameter. Whoever trains has to see to it that weight decay and momentum don't move them meanwhile; the trainer mixin
    in ``nnunetv2_ext.trainers.gates`` does.

    Shape:
        nothing to four scalars, in the order query, key, value, position.
    """

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.tensor(0.1))
        self.key = nn.Parameter(torch.tensor(0.1))
        self.value = nn.Parameter(torch.tensor(1.0))
        self.position = nn.Parameter(torch.tensor(0.1))
        self.frozen = False

    def forward(self) -> tuple[Tensor, ...]:
        gates = (self.query, self.key, self.value, self.position)
        return tuple(gate.detach() + 0 * gate for gate in gates) if self.frozen else gates
