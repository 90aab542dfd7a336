"""The weighted mean of logits: votes and sums by hand, weights against a grid."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.analysis import ensemble, scores

LABELS = np.array([1, 0, 1, 0, 1, 1, 0, 0], np.int8)


def test_a_vote_is_the_logit_of_a_probability_within_the_bound() -> None:
    found = ensemble.votes(np.array([0.5, 0.25, 0.9], np.float32))
    np.testing.assert_allclose(found, [0, -np.log(3), np.log(9)], atol=1e-6)
    assert found.dtype == np.float64
    surest = np.log(999_999)
    np.testing.assert_allclose(ensemble.votes(np.array([0, 1, 1e-6, 1e-9])), [-surest, surest, -surest, -surest], rtol=1e-9)


def test_the_votes_of_logits_are_those_of_their_probabilities() -> None:
    logits = np.array([-40, -13, -2.5, 0, 2.5, 40], np.float32)
    np.testing.assert_allclose(
        ensemble.bounded(logits), ensemble.votes(1 / (1 + np.exp(-logits.astype(np.float64)))), rtol=1e-6
    )
    assert ensemble.bounded(logits)[[0, 5]].tolist() == [-ensemble.SUREST, ensemble.SUREST]
    assert pytest.approx(np.log(999_999), rel=1e-12) == ensemble.SUREST


def test_combined_is_the_probability_of_the_weighted_votes() -> None:
    members = {"a": np.array([1.0, -2, 0]), "b": np.array([3.0, 4, 0]), "c": np.array([100.0, 100, 100])}
    found = ensemble.combine(members, {"a": 0.75, "b": 0.25})
    np.testing.assert_allclose(found, [1 / (1 + np.exp(-1.5)), 1 / (1 + np.exp(0.5)), 0.5], rtol=1e-6)
    assert found.dtype == np.float32
    alone = np.array([0.125, 0.5, 0.875], np.float32)
    np.testing.assert_allclose(ensemble.combine({"x": ensemble.votes(alone)}, {"x": 1.0}), alone, rtol=1e-6)


def test_nobody_is_so_sure_that_the_others_do_not_count() -> None:
    votes = {"sure": ensemble.votes(np.array([1.0])), "other": ensemble.votes(np.array([1e-5]))}
    assert ensemble.combine(votes, {"sure": 0.4, "other": 0.6})[0] < 0.5


def test_a_perfect_member_has_all_the_weight() -> None:
    signs: Any = np.where(LABELS == 1, 1.0, -1.0)
    perfect, good = 13 * signs, signs * np.array([3.0, 3, 3, 3, 3, 3, -1, 3])
    assert ensemble.choose(LABELS, {"good": good, "perfect": perfect}) == {"perfect": 1.0}


def test_a_member_that_tells_nothing_is_dropped_and_so_is_one_that_lies() -> None:
    random = np.random.default_rng(0)
    labels = np.tile(LABELS, 50)
    signs: Any = 2.0 * labels - 1
    votes = {"noisy": signs + random.normal(0, 1.5, 400), "useless": random.normal(0, 3, 400), "wrong": -4 * signs}
    assert ensemble.choose(labels, votes) == {"noisy": 1.0}


def test_two_that_err_apart_share_the_weight() -> None:
    random = np.random.default_rng(0)
    labels = np.tile(LABELS, 50)
    one, other = ((2.0 * labels - 1) * 2 + random.normal(0, 2, 400) for _ in range(2))
    found = ensemble.choose(labels, {"one": one, "other": other})
    assert found["one"] == pytest.approx(0.5, abs=0.2)
    together = scores.losses(labels, (found["one"] * one + found["other"] * other).astype(np.float32))[0]
    assert together < min(scores.losses(labels, each.astype(np.float32))[0] for each in (one, other))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_the_weights_sum_to_1_and_have_the_least_loss_among_a_grid(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.permutation(np.tile(LABELS, 20))
    scales = random.uniform(0, 2, count)
    members = {
        f"m{number}": np.clip((2.0 * labels - 1) * scale + random.normal(0, 2, len(labels)), -13.8, 13.8)
        for number, scale in enumerate(scales)
    }
    cast = np.stack(list(members.values()))

    def loss(weights: tuple[float, ...]) -> float:
        return scores.losses(labels, (np.array(weights) @ cast).astype(np.float32))[0]

    found = ensemble.choose(labels, members)
    assert sum(found.values()) == pytest.approx(1, abs=0.002)
    assert all(0.02 <= weight <= 1 and round(weight, 3) == weight for weight in found.values())
    grid = [each for each in itertools.product(np.linspace(0, 1, 11), repeat=count) if sum(each) == pytest.approx(1)]
    # Who would have had next to nothing is left out, which may cost a little.
    assert loss(tuple(found.get(name, 0.0) for name in members)) <= min(map(loss, grid)) + 0.003
