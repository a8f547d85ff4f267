"""Attention along one axis, with a position embedding, with a gated one, or without."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.medical_transformer.attention_gates import AttentionGates
from nnunetv2_ext.architectures.medical_transformer.similarity_norm import SimilarityNorm
from nnunetv2_ext.architectures.operations import operations, per_axis, resize
from nnunetv2_ext.architectures.precision import at_least_single, without_autocast
from nnunetv2_ext.architectures.recompute.modes import run_again_in_backward
from nnunetv2_ext.errors import PlanError

Position = Literal["with", "gated", "without"]
POSITIONS = ("with", "gated", "without")

ENTRIES_AT_ONCE = 2**25
"""How many entries of attention maps are computed at once: 128 MiB per map in float32. More are computed in chunks, which are
recomputed in the backward instead of being kept: a 3D patch of 128 has several maps of 1 GiB in every attention of its first
layer. Chunks are no smaller, because each is compiled by itself."""


class AxialAttention(nn.Module):
    """Axial attention of the Medical Transformer (MICCAI 2021, arXiv 2102.10662) along one spatial axis.

    Every row of the axis is a sequence. Queries, keys and values are a pointwise projection with BatchNorm; the logits are the
    sum of the normalised similarities (``SimilarityNorm``), the output the sum of the normalised attended values and attended
    embeddings of position. The embedding is learned for every distance between two positions, as many as ``length`` allows;
    along an axis of another length it is interpolated. ``position="gated"`` weighs the terms of position with
    ``AttentionGates``; ``"without"`` has content alone. There is no square root of the width, the norm stands for it.

    Differs from the paper: nD; of the similarities' norm the dead mean and bias are left out; a stride that doesn't divide the
    size rounds up. Similarities and softmax are in single precision under mixed precision.

    With R rows of length L it costs O(R L**2) time and, in training, O(R L) memory.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, divisible by twice the heads.
        dimensions: number of spatial dimensions.
        axis: the spatial axis, from 0.
        length: positions along the axis that the embedding is built for.
        heads: number of heads.
        position: ``"with"``, ``"gated"`` or ``"without"``.
        stride: of the average pooling behind the attention, one number or one per axis.

    Shape:
        ``(N, in_channels, *spatial)`` to ``(N, out_channels, *ceil(spatial / stride))``, for any size.

    Raises:
        PlanError: if the heads don't divide the channels, or ``position`` is none of the three.

    Example:
        >>> AxialAttention(6, 8, dimensions=3, axis=1, length=5, heads=2)(torch.zeros(2, 6, 4, 5, 7)).shape
        torch.Size([2, 8, 4, 5, 7])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimensions: int,
        axis: int,
        length: int,
        heads: int = 8,
        position: Position = "with",
        stride: int | Sequence[int] = 1,
    ) -> None:
        super().__init__()
        if out_channels % (2 * heads):
            raise PlanError(
                f"axial attention got {out_channels} channels for {heads} heads, needs a multiple of {2 * heads}, for a query "
                "and a key have half a head's channels each: use fewer heads or a greater width"
            )
        if position not in POSITIONS:
            raise PlanError(f"position is {position!r}, need one of {', '.join(POSITIONS)}")
        ops = operations(dimensions)
        self.axis, self.heads, self.entries_at_once = axis, heads, ENTRIES_AT_ONCE
        self.head_channels = out_channels // heads
        positioned = position != "without"

        self.project = ops.convolution(in_channels, 2 * out_channels, 1, bias=False)
        self.project_norm = ops.batch_norm(2 * out_channels)
        self.similarity_norm = SimilarityNorm(3 if positioned else 1, heads)
        self.output_norm = nn.BatchNorm1d(2 * out_channels if positioned else out_channels)
        # Channels of queries, keys and values; distances from 1 - length to length - 1.
        self.embedding = (
            nn.Parameter(torch.randn(2 * self.head_channels, 2 * length - 1) / self.head_channels**0.5) if positioned else None
        )
        self.gates = AttentionGates() if position == "gated" else None
        steps = per_axis(stride, dimensions)
        self.pool = ops.average_pool(steps, steps, ceil_mode=True) if max(steps) > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        projected = self.project_norm(self.project(x)).movedim(1, -1).movedim(1 + self.axis, -1)
        rows = projected.flatten(0, -3).unflatten(1, (self.heads, -1))
        with without_autocast(x.device):
            output = self.output_norm(self._attend_all(rows).flatten(1, -2))
            # The two terms of a channel, values and position, are neighbours.
            output = output.unflatten(1, (self.heads * self.head_channels, -1)).sum(2)
        return self.pool(output.unflatten(0, projected.shape[:-2]).movedim(-1, 1 + self.axis).movedim(-1, 1))

    def _attend_all(self, rows: Tensor) -> Tensor:
        """All rows ``(rows, heads, channels of queries, keys and values, L)`` to ``(rows, heads, head_channels, terms, L)``."""
        half, length = self.head_channels // 2, rows.shape[-1]
        split = (half, half, self.head_channels)
        queries, keys, values = rows.split(split, 2)
        embeddings = None if self.embedding is None else by_pair(self.embedding, length).split(split)
        gates = () if self.gates is None else self.gates()
        factors = self.similarity_norm(queries, keys, embeddings and embeddings[:2], gates)
        if embeddings is not None and gates:
            values, embeddings = values * gates[2], (*embeddings[:2], embeddings[2] * gates[3])

        at_once = max(1, self.entries_at_once // (self.heads * length**2))
        if len(rows) <= at_once:
            return attend(queries, keys, values, factors, embeddings)
        chunks = zip(*(x.split(at_once) for x in (queries, keys, values)), strict=True)
        return torch.cat([run_again_in_backward(attend, *chunk, factors, embeddings) for chunk in chunks])


def by_pair(embedding: Tensor, length: int) -> Tensor:
    """An embedding by distance ``(channels, 2 K - 1)`` as one by pair of positions: entry (i, j) is for the distance i - j.

    Where the length L is not K the embedding is interpolated, such that its ends and its middle, the distance of zero, stay.

    Shape:
        ``(channels, 2 K - 1)`` to ``(channels, L, L)``.
    """
    if length == 1:
        return embedding[:, embedding.shape[1] // 2, None, None]
    by_distance = resize(embedding.unsqueeze(0), [2 * length - 1])[0]
    return by_distance.unfold(1, length, 1).flip(-1)


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, factors: Tensor, embeddings: Sequence[Tensor] | None = None
) -> Tensor:
    """Attention within each row; each row is by itself.

    Shape:
        queries and keys ``(rows, heads, d, L)``, values ``(rows, heads, c, L)``, factors ``(terms, heads)``, embeddings of
        queries and keys ``(d, L, L)`` and of values ``(c, L, L)``, to ``(rows, heads, c, terms, L)``, where the terms are the
        values and, if there are embeddings, their position. Half precision is attended to in float32.
    """
    dtype = values.dtype
    queries, keys, values = at_least_single(queries), at_least_single(keys), at_least_single(values)
    factors = factors[..., None, None]
    logits = torch.einsum("rhdi,rhdj->rhij", queries * factors[0], keys)
    if embeddings is not None:
        logits = logits + torch.einsum("rhdi,dij->rhij", queries * factors[1], embeddings[0])
        logits = logits + torch.einsum("rhdj,dji->rhij", keys * factors[2], embeddings[1])
    weights = torch.softmax(logits, -1)
    terms = [torch.einsum("rhij,rhcj->rhci", weights, values)]
    if embeddings is not None:
        terms.append(torch.einsum("rhij,cij->rhci", weights, embeddings[2]))
    return torch.stack(terms, 3).to(dtype)
