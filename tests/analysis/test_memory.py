"""How far back each network remembers: from made-up accuracies to a verdict."""

from typing import Any

import numpy as np
import pytest

from job.analysis import memory
from job.presets import Architecture
from job.records.memory import MemoryLimit
from job.records.trials import (
    ArchitectureRecord,
    BaselineDistance,
    BaselineRecord,
    DistanceRecord,
    GradientNorm,
    Scores,
    Summaries,
    Summary,
    TrialRecord,
)

# The least accuracy on 2,000 reviews that guessing reaches less often than once in a thousand times: 1070 right.
NOT_CHANCE, CHANCE = 1070 / 2000, 1069 / 2000


def trial(distance: int, seed: int, accuracy: float | None, back: float = 1.0) -> DistanceRecord:
    test = None if accuracy is None else Scores(accuracy=accuracy, loss=0.1, auc=None, f1=0.5, brier=0.1)
    norms = [GradientNorm(back=0, norm=4.0), GradientNorm(back=10, norm=4.0 * back)]
    return DistanceRecord(
        **values(seed), test=test, test_reviews=2000, distance=distance, remedy=None,
        steps_until_learned=282 if accuracy and accuracy > 0.9 else None,
        gradient_norms=None if accuracy is None else norms,
    )  # fmt: skip


def values(seed: int) -> dict[str, Any]:
    none = dict.fromkeys(("diverged", "train", "validation", "calibration", "last_epoch"))
    counts = dict.fromkeys(("epochs", "steps", "best_epoch", "parameters", "train_reviews", "validation_reviews"), 1)
    return none | counts | {"seed": seed, "status": "finished", "device": "cpu", "kernel": "xla", "continued": [], "seconds": 1.0, "tokens_per_second": 1.0}  # fmt: skip


def architectures(**accuracies: list[list[float | None]]) -> dict[Architecture, ArchitectureRecord]:
    """For each architecture the accuracies of each seed at 10, 40 and 160 tokens."""
    return {
        Architecture(name): entry([[trial(*each) for each in zip((10, 40, 160), (seed,) * 3, row, strict=True)] for seed, row in enumerate(rows)])
        for name, rows in accuracies.items()
    }  # fmt: skip


def entry(seeds: list[list[DistanceRecord]]) -> ArchitectureRecord:
    runs = [TrialRecord(**values(seed), test=None, test_reviews=0, trainings=trials) for seed, trials in enumerate(seeds)]
    none = Summary(mean=None, sd=None, ci95=None)
    return ArchitectureRecord(best_seed=None, runs=runs, summary=Summaries(test_accuracy=none))


def baseline(accuracy: float = 0.5) -> BaselineRecord:
    test = Scores(accuracy=accuracy, loss=0.1, auc=None, f1=0.5, brier=0.1)
    trials = [BaselineDistance(distance=distance, features=1, test=test) for distance in (10, 40, 160)]
    return BaselineRecord(name="linear", features=1, train_reviews=1, test=test, seconds=1.0, trainings=trials)


def test_where_networks_fall_to_chance_and_what_is_said_of_it() -> None:
    found = memory.compile_memory(
        architectures(rnn=[[1.0, 1.0, CHANCE], [1.0, NOT_CHANCE, 0.5]], lstm=[[1.0, 0.5, 0.5], [1.0, 0.5, 0.5]]), baseline()
    )
    rnn, lstm = (network.limit for network in found.networks)
    assert rnn.seeds == [(40.0, 160.0), (40.0, 160.0)]
    assert [rnn.tokens, *(rnn.ci95 or ())] == pytest.approx([80, 40, 160])
    assert lstm.seeds == [(10.0, 40.0), (10.0, 40.0)]
    assert [lstm.tokens, *(lstm.ci95 or ())] == pytest.approx([20, 10, 40])
    assert found.verdict == (
        "The SimpleRNN falls to chance at 80 tokens (95 % interval 40 to 160, 2 seeds). "
        "The LSTM falls to chance at 20 tokens (95 % interval 10 to 40, 2 seeds). "
        "The LSTM remembers further in 0 of 2 seeds, the SimpleRNN in 2. "
        "So that an LSTM remembers further does not hold here, as Keras's layers come and with these steps. "
        "A bag of words and word pairs is at chance at every distance."
    )
    point = found.networks[0].points[1].to_values()
    assert point == {
        "distance": 40,
        "diverged": 0,
        "test_accuracy": {"mean": pytest.approx(0.7675), "sd": pytest.approx(0.3288, abs=1e-4), "ci95": [0.0, 1.0]},
        "above_chance": 2,
        "learned": 1,
        "steps_until_learned": {"mean": 282.0, "sd": None, "ci95": None},
        "gradient_norms": [{"back": 0, "share": 1.0}, {"back": 10, "share": 1.0}],
    }  # fmt: skip


def test_seeds_that_disagree_widen_the_interval_and_a_bound_that_is_not_known_leaves_none() -> None:
    found = memory.compile_memory(
        architectures(rnn=[[1.0, 0.5, 0.5], [1.0, 1.0, 0.5]], lstm=[[1.0, 1.0, 1.0], [1.0, 1.0, 0.5]]), baseline(0.9)
    )
    rnn, lstm = (network.limit for network in found.networks)
    assert rnn.tokens == pytest.approx(40)
    # log(20) and log(80): their mean's interval for one degree of freedom is 12.706 standard errors of 0.6931 wide.
    assert rnn.ci95 == pytest.approx([20 / np.exp(8.807), 80 * np.exp(8.807)], rel=1e-2)
    assert lstm == MemoryLimit(seeds=[(160.0, None), (40.0, 160.0)], tokens=None, ci95=None)
    assert "The LSTM falls to chance at distances that these leave open (2 seeds: 160 to more, 40 to 160 tokens)." in found.verdict  # fmt: skip
    assert "The LSTM remembers further in 1 of 2 seeds, the SimpleRNN in 0. A bag" in found.verdict
    assert "at chance at all distances but 10 and 40 and 160." in found.verdict


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        ([[1.0, 1.0, 0.5]], "falls to chance at 80 tokens (between 40 and 160, 1 seed)"),
        ([[1.0, 1.0, 1.0]] * 2, "does not fall to chance up to 160 tokens (2 seeds)"),
        ([[0.5, 1.0, 0.5]] * 2, "is at chance from 10 tokens on (2 seeds)"),
        # A training that diverged is no better than guessing.
        ([[1.0, None, 0.5]], "falls to chance at 20 tokens (between 10 and 40, 1 seed)"),
    ],
)
def test_a_limit_in_words(accuracies: list[list[float | None]], said: str) -> None:
    found = memory.compile_memory(architectures(rnn=accuracies), baseline())
    assert memory.describe_limit(found.networks[0].limit, found.distances) == said
    assert found.networks[0].points[1].diverged == (None in accuracies[0])


def test_gradients_are_shares_of_the_last_token_s() -> None:
    seeds = [[trial(distance, seed, 1.0, back) for distance in (10, 40, 160)] for seed, back in enumerate((0.01, 0.0001))]
    made = {Architecture.rnn: entry(seeds)}
    found = memory.compile_memory(made, baseline())
    last, far = found.networks[0].points[-1].gradient_norms
    assert (last.back, last.share) == (0, 1.0)
    assert [far.back, far.share] == pytest.approx([10, 0.001])
