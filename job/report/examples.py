"""Reviews worth reading beside the figures: those that a network got most wrong, and those that two disagree on."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Predictions = dict[tuple[str, int], NDArray[np.float32]]
_COUNT = 5
_CHARACTERS = 1200
EXAMPLES = "examples.json"


def choose(
    labels: NDArray[np.int8], predictions: Predictions, text: Callable[[int], str | None], lengths: NDArray[np.int64]
) -> dict[str, Any]:
    """The content of examples.json, by mean probabilities over seeds.

    Args:
        labels: <int8>[test reviews]
        predictions: Of the networks.
        text: Of a test review by its number; None where it is not known.
        lengths: <int64>[test reviews], tokens of each.

    Returns:
        `lengths`; `most_wrong`, for each architecture the numbers of reviews; `disagreements`, numbers of reviews; and
        `texts`, from numbers (as JSON keys, texts) to the reviews' ends.
    """
    means: dict[str, NDArray[np.float64]] = {}
    for name in sorted({name for name, _ in predictions}):
        # Seed by seed: all of a large sweep together would not fit.
        runs = [array for (other, _), array in predictions.items() if other == name]
        means[name] = sum((array.astype(np.float64) for array in runs), np.zeros(len(labels))) / len(runs)
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
        disagreements = pick(np.where((one > 0.5) != (other > 0.5), np.abs(one - other), 0.0))
    return {"lengths": lengths.tolist(), "most_wrong": most_wrong, "disagreements": disagreements, "texts": texts}
