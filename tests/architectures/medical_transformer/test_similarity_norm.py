import pytest
import torch
from torch import nn

from nnunetv2_ext.architectures.medical_transformer.similarity_norm import (
    SimilarityNorm,
    content_moments,
    position_moments,
    similarity_moments,
)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64) + 0.5


def test_moments_are_those_of_the_maps():
    queries, keys, embedding = random(7, 2, 3, 5), random(7, 2, 3, 5), random(3, 5, 5)
    content = torch.einsum("rhdi,rhdj->hrij", queries, keys).flatten(1)
    position = torch.einsum("rhdi,dij->hrij", queries, embedding).flatten(1)
    for moments, one in ((content_moments(queries, keys), content), (position_moments(queries, embedding), position)):
        torch.testing.assert_close(moments, (one.mean(1), one.square().mean(1)))


@pytest.mark.parametrize("training", [True, False])
def test_factors_do_to_a_softmax_what_a_batch_norm_does(training):
    queries, keys = random(7, 2, 3, 5), random(7, 2, 3, 5)
    ours, theirs = SimilarityNorm(1, 2).double().train(training), nn.BatchNorm2d(2).double().train(training)
    with torch.no_grad():
        for tensor in (theirs.weight, theirs.bias, theirs.running_mean, theirs.running_var):
            tensor.uniform_(0.5, 2)
        ours.weight.copy_(theirs.weight)
        ours.running_var.copy_(theirs.running_var)
    maps = torch.einsum("rhdi,rhdj->rhij", queries, keys)
    factors = ours(queries, keys)[0]
    torch.testing.assert_close((maps * factors[:, None, None]).softmax(-1), theirs(maps).softmax(-1))
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_one_pair_of_positions_has_no_variance_and_stays_finite():
    norm = SimilarityNorm(1, 2)
    assert norm(torch.ones(1, 2, 3, 1), torch.ones(1, 2, 3, 1)).isfinite().all()
    assert norm.running_var.isfinite().all()


def test_single_precision_is_enough_away_from_zero():
    queries, keys = random(64, 2, 4, 16) + 3, random(64, 2, 4, 16) - 2
    single = SimilarityNorm(1, 2)(queries.float(), keys.float())
    torch.testing.assert_close(single.double(), SimilarityNorm(1, 2).double()(queries, keys), rtol=1e-4, atol=0)


def test_moments_of_half_precision_are_in_single():
    queries, keys, embedding = random(7, 2, 3, 5).half(), random(7, 2, 3, 5).half() * 300, random(3, 5, 5).float()
    moments = similarity_moments(queries, keys, (embedding, embedding))
    assert moments.dtype == torch.float32
    assert moments.isfinite().all()
    torch.testing.assert_close(moments, similarity_moments(queries.float(), keys.float(), (embedding, embedding)))
