"""Batch normalisation of attention logits that are never all in memory."""

import torch
from torch import Tensor, nn


class SimilarityNorm(nn.Module):
    """Batch normalisation of the similarities of an axial attention, as factors for them (arXiv 2102.10662).

    In the paper each head has up to three maps of similarity, over all rows and all pairs (i, j) of positions: content
    ``q_i . k_j``, query position ``q_i . e_(i-j)`` and key position ``k_j . e_(j-i)``. Each goes through a BatchNorm, and their
    sum through a softmax. Softmax doesn't see a shift of all logits, so of the BatchNorm the mean and the bias are dead, and
    what is left is one factor per map. The variance behind it follows from sums of outer products of queries, keys and
    embeddings: with d channels and length L it costs d**2 numbers per row where the maps have L**2, and whoever
    works on the maps afterwards can take them in pieces.

    Differs from the paper: no bias and no running mean, which don't change the output. In distributed training the statistics
    are those of the device.

    Args:
        terms: number of maps, 1 or 3.
        heads: number of heads.

    Shape:
        queries and keys ``(rows, heads, d, L)``, and for three maps the embeddings of queries and keys ``(d, L, L)``, to
        factors ``(terms, heads)``.
    """

    def __init__(self, terms: int, heads: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.heads, self.eps, self.momentum = heads, eps, momentum
        self.weight = nn.Parameter(torch.ones(terms * heads))
        self.register_buffer("running_var", torch.ones(terms * heads))
        self.running_var: Tensor

    def forward(
        self, queries: Tensor, keys: Tensor, embeddings: tuple[Tensor, Tensor] | None = None, gates: tuple[Tensor, ...] = ()
    ) -> Tensor:
        variance = self._variance(queries, keys, embeddings) if self.training else None
        weight = self.weight.unflatten(0, (-1, self.heads))
        if gates:
            # A gate weighs its map before the norm.
            gate = torch.stack((torch.ones_like(gates[0]), gates[0], gates[1])).unsqueeze(1)
            weight = weight * gate
            variance = None if variance is None else variance * gate.square()
        if variance is None:
            variance = self.running_var.unflatten(0, (-1, self.heads))
        else:
            self._remember(variance.detach().flatten(), count=queries.shape[0] * queries.shape[-1] ** 2)
        return weight * torch.rsqrt(variance + self.eps)

    def _variance(self, queries: Tensor, keys: Tensor, embeddings: tuple[Tensor, Tensor] | None) -> Tensor:
        moments = [content_moments(queries, keys)]
        if embeddings is not None:
            moments += [position_moments(queries, embeddings[0]), position_moments(keys, embeddings[1])]
        # Rounding may take a variance of zero below it.
        return torch.stack([square - mean.square() for mean, square in moments]).clamp_min(0)

    def _remember(self, variance: Tensor, count: int) -> None:
        unbiased = variance * (count / max(1, count - 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)


def content_moments(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of ``q_i . k_j``, and of its square, per head, over all rows and pairs of positions."""
    rows, _, _, length = queries.shape
    outer = [torch.einsum("rhdi,rhei->rhde", x, x) for x in (queries, keys)]
    mean = torch.einsum("rhd,rhd->h", queries.sum(-1), keys.sum(-1))
    square = torch.einsum("rhde,rhde->h", *outer)
    return mean / (rows * length**2), square / (rows * length**2)


def position_moments(x: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of ``x_i . embedding_(i, j)``, and of its square, per head, over all rows and pairs of positions."""
    rows, _, _, length = x.shape
    mean = torch.einsum("hdi,di->h", x.sum(0), embedding.sum(-1))
    outer = torch.einsum("rhdi,rhei->hdei", x, x), torch.einsum("dij,eij->dei", embedding, embedding)
    square = torch.einsum("hdei,dei->h", *outer)
    return mean / (rows * length**2), square / (rows * length**2)
