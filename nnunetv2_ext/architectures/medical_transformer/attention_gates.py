"""The gates of gated axial attention."""

import torch
from torch import Tensor, nn


class AttentionGates(nn.Module):
    """Four learned scalars that weigh the position terms of an axial attention (Medical Transformer, arXiv 2102.10662).

    The position terms start at 0.1 and the value term at 1, so that training on a small dataset, from which position
    embeddings are hard to learn, starts almost without them. The authors freeze the gates for the first 10 epochs.

    While ``frozen`` is set, the gates get a gradient of zero instead of none, because distributed training waits for the
    gradient of every parameter. Weight decay and momentum would still move them; ``nnunetv2_ext.trainers.gates`` prevents it.

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
