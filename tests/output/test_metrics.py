"""What a run's verdict says of networks and baselines that learned nothing, or everything."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from job.output.metrics import compile_metrics
from job.output.results import BaselineResult, TrialResult, Trials
from job.presets import Architecture, PresetName
from job.records.metrics import DataRecord, DeviceRecord, Majority
from job.records.trials import BaselineRecord, Scores
from tests.output.test_folder import record

DEVICE = DeviceRecord(type="cpu", name="", cores=1, compute_capability=None, memory_bytes=None, driver=None, cuda=None, cudnn=None, tf32=False, slow_kernels={})  # fmt: skip
# Nine in ten are positive.
LABELS = np.array([1] * 90 + [0] * 10, np.int8)
SCORES = Scores(accuracy=0.5, loss=0.1, auc=None, f1=0.5, brier=0.1)


def answering(negatives: int, missed: int = 0) -> Any:
    """Probabilities of who is right on so many of the ten negative reviews, and wrong on so many of the positive ones."""
    said = np.full(100, 0.9, np.float32)
    said[90 : 90 + negatives] = said[:missed] = 0.1
    return said


def verdict(network: Any, baseline: Any, with_majority: bool = True) -> str:
    trials = Trials()
    trials.add(Architecture.rnn, TrialResult(record(0).but(test=SCORES), [], network, None))
    linear = BaselineResult(BaselineRecord(name="", features=1, train_reviews=1, test=SCORES, seconds=1.0), baseline)
    data = DataRecord(name="", sha256="0" * 64, train_reviews=1, validation_reviews=1, test_reviews=100, vocabulary=1, own_test_part=True)  # fmt: skip
    if with_majority:
        data = data.but(majority=Majority(label="positive", train_share=0.9, test_accuracy=0.9))
    run: Any = SimpleNamespace(identity=SimpleNamespace(preset=PresetName.quickstart), device=DEVICE)
    return compile_metrics(run, data, trials, linear, LABELS).verdict


@pytest.mark.parametrize(
    ("network", "baseline", "said"),
    [
        (
            answering(0),
            answering(0, missed=2),
            "The SimpleRNN answers positive to every test review. "
            "The baseline, too, is no more accurate than always answering positive (0.8800 against 0.9000): in accuracy there is nothing to beat.",
        ),
        (
            answering(10, missed=90),
            answering(10),
            "The SimpleRNN answers negative to every test review. "
            "The SimpleRNN (-90.00 points) did not beat the bag-of-n-grams baseline, which takes seconds.",
        ),
        (
            answering(3),
            answering(0),
            "The SimpleRNN was not shown to be more accurate than always answering positive (+3.00 points on 0.9000). "
            "The baseline, too, answers positive to every test review: in accuracy there is nothing to beat.",
        ),
        (answering(9), answering(2), "The SimpleRNN (+7.00 points) beats the bag-of-n-grams baseline."),
        (
            answering(10),
            answering(10),
            "The SimpleRNN and the baseline are right on every test review: these data do not tell them apart.",
        ),
    ],
)
def test_a_verdict_does_not_praise_what_learned_nothing_nor_blame_what_is_perfect(
    network: Any, baseline: Any, said: str
) -> None:
    assert verdict(network, baseline) == said


def test_of_a_run_that_does_not_tell_the_majority_the_verdict_is_the_one_of_before() -> None:
    assert verdict(answering(0), answering(2), with_majority=False) == (
        "The SimpleRNN (-2.00 points) did not beat the bag-of-n-grams baseline, which takes seconds."
    )
