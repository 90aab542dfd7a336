"""Reviews worth reading beside the figures: those that a network got most wrong, and those that two disagree on."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from job.analysis.scores import is_right
from job.output.results import Trials
from job.presets import Architecture
from job.records.run import Examples

_COUNT = 5
_CHARACTERS = 1200


def choose(labels: NDArray[np.int8], trials: Trials, text: Callable[[int], str | None], lengths: NDArray[np.int64]) -> Examples:
    """Chooses by mean probabilities over seeds.

    Args:
        labels: <int8>[test reviews]
        text: Of a test review by its number; None where it is not known.
        lengths: <int64>[test reviews], tokens of each.
    """
    means: dict[Architecture, NDArray[np.float64]] = {}
    for name in sorted(trials.architectures):
        # Seed by seed: all of a large sweep together would not fit.
        finished = [result.probabilities for result in trials.of(name) if len(result.probabilities)]
        if finished:
            total = sum((array.astype(np.float64) for array in finished), np.zeros(len(labels)))
            means[name] = total / len(finished)
    texts: dict[str, str] = {}

    def pick(badness: NDArray[np.float64]) -> list[int]:
        picked: list[int] = []
        for number in np.argsort(-badness, kind="stable")[: 20 * _COUNT].tolist():
            found = text(number) if badness[number] > 0 and len(picked) < _COUNT else None
            if found is not None:
                picked.append(number)
                # The end decides.
                texts[str(number)] = found if len(found) <= _CHARACTERS else "… " + found[-_CHARACTERS:]
        return picked

    most_wrong = {name: pick(np.abs(mean - labels) - 0.5) for name, mean in means.items()}
    disagreements: list[int] = []
    if len(means) == 2:
        one, other = means.values()
        disagreements = pick(np.where(is_right(labels, one) != is_right(labels, other), np.abs(one - other), 0.0))
    return Examples(lengths=lengths.tolist(), most_wrong=most_wrong, disagreements=disagreements, texts=texts)
