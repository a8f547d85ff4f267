"""Batch normalisation of attention logits that are never all in memory."""

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.precision import at_least_single
from nnunetv2_ext.architectures.processes import average_over_processes
from nnunetv2_ext.architectures.recompute.modes import run_again_in_backward

EPS, MOMENTUM = 1e-5, 0.1


class SimilarityNorm(nn.Module):
    """Batch normalisation of the similarities of an axial attention, as factors for them (arXiv 2102.10662).

    In the paper each head has up to three maps of similarity, over all rows and all pairs (i, j) of positions: content
    ``q_i . k_j``, query position ``q_i . e_(i-j)`` and key position ``k_j . e_(j-i)``. Each goes through a BatchNorm, and their
    sum through a softmax. Softmax doesn't see a shift of all logits, so of the BatchNorm the mean and the bias are dead, and
    what is left is one factor per map. The variance behind it follows from sums of outer products of queries, keys and
    embeddings: with d channels and length L it costs d**2 numbers per row where the maps have L**2, and
    the maps themselves can then be computed in chunks.

    Differs from the paper: no bias and no running mean, which don't change the output. In distributed training the statistics
    are over the batches of all processes, as nnU-Net makes those of every BatchNorm.

    Args:
        terms: number of maps, 1 or 3.
        heads: number of heads.

    Shape:
        queries and keys ``(rows, heads, d, L)``, and for three maps the embeddings of queries and keys ``(d, L, L)``, to
        factors ``(terms, heads)``.
    """

    def __init__(self, terms: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.weight = nn.Parameter(torch.ones(terms * heads))
        self.register_buffer("running_var", torch.ones(terms * heads))
        self.running_var: Tensor

    def forward(
        self, queries: Tensor, keys: Tensor, embeddings: tuple[Tensor, Tensor] | None = None, gates: tuple[Tensor, ...] = ()
    ) -> Tensor:
        weight = self.weight.unflatten(0, (-1, self.heads))
        # A gate weighs its map before the norm.
        gate = torch.stack((torch.ones_like(gates[0]), gates[0], gates[1])).unsqueeze(1) if gates else None
        weight = weight if gate is None else weight * gate
        if not self.training:
            return weight * torch.rsqrt(self.running_var.unflatten(0, (-1, self.heads)) + EPS)
        variance, count = self._variance(queries, keys, embeddings)
        variance = variance if gate is None else variance * gate.square()
        self._update_running_variance(variance.detach().flatten(), count)
        return weight * torch.rsqrt(variance + EPS)

    def _variance(self, queries: Tensor, keys: Tensor, embeddings: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """The variance ``(terms, heads)`` of the maps of all processes, and the number of entries in each."""
        moments = run_again_in_backward(similarity_moments, queries, keys, embeddings)
        moments, count = average_over_processes(moments, queries.shape[0] * queries.shape[-1] ** 2)
        mean, square = moments.unbind(1)
        return (square - mean.square()).clamp_min(0), count  # rounding may take a variance of zero below it

    @torch.no_grad()
    def _update_running_variance(self, variance: Tensor, count: Tensor) -> None:
        unbiased = variance * (count / (count - 1).clamp_min(1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), MOMENTUM)


def similarity_moments(queries: Tensor, keys: Tensor, embeddings: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Mean and mean square of every map ``(terms, 2, heads)``, in float32 at least.

    Its intermediate results are larger than queries and keys, and cheaper than the attention that follows.
    """
    queries, keys = at_least_single(queries), at_least_single(keys)
    moments = [content_moments(queries, keys)]
    if embeddings is not None:
        moments += [position_moments(queries, embeddings[0]), position_moments(keys, embeddings[1])]
    return torch.stack([torch.stack(pair) for pair in moments])


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
