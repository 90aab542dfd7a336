"""What texts without labels brought: the networks against those of their teacher, which learned from labels alone."""

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores
from job.analysis.comparison import SIGNIFICANT, Answers, compare
from job.output.predictions import Predictions
from job.output.results import Teaching, Trials, teacher_name
from job.presets import Architecture
from job.records.comparison import Comparison
from job.records.metrics import Metrics
from job.records.selftraining import SelfTraining


def compile_selftraining(teaching: Teaching, trials: Trials, labels: NDArray[np.int8]) -> SelfTraining:
    """The record.

    Args:
        labels: <int8>[test reviews]
    """
    gains: dict[Architecture, Comparison] = {}
    said = []
    for name, (_, predicted) in teaching.networks.items():
        taught = [scores.is_right(labels, each.probabilities) for each in trials.of(name) if len(each.probabilities)]
        if not taught:
            continue
        before = Answers(f"the {name.title} from labels alone", scores.is_right(labels, predicted)[None])
        found = gains[name] = compare(Answers(f"the {name.title}", np.stack(taught)), before)
        seen = found.p_value is not None and found.p_value < SIGNIFICANT
        said.append(f"the {name.title} {100 * found.difference:+.2f} points{'' if seen else ', no difference that was seen'}")
    return SelfTraining(
        texts=teaching.texts,
        teacher=teaching.members,
        guesses_sha256=teaching.guesses_sha256,
        labels_alone={name: record for name, (record, _) in teaching.networks.items()},
        gains=gains,
        verdict=f"{teaching.texts:,} texts without labels brought {' and '.join(said) or 'nothing that could be measured'}.",
    )


def read_teaching(metrics: Metrics, probabilities: Predictions) -> Teaching | None:
    """The results that the record was compiled from, where there is one."""
    told = metrics.self_training
    if told is None:
        return None
    networks = {name: (each, probabilities[teacher_name(name), each.seed]) for name, each in told.labels_alone.items()}
    return Teaching(told.texts, told.teacher, told.guesses_sha256, networks)
