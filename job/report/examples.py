"""Reviews worth reading beside the figures: those that a network got most wrong, and those that two disagree on."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from job.analysis.scores import is_right
from job.data import originals
from job.data.reviews import Reviews
from job.output.results import Trials
from job.presets import Architecture
from job.records.run import Examples
from job.source import DataSource

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
                texts[str(number)] = _end(found)
        return picked

    most_wrong = {name: pick(np.abs(mean - labels) - 0.5) for name, mean in means.items()}
    disagreements: list[int] = []
    if len(means) == 2:
        one, other = means.values()
        disagreements = pick(np.where(is_right(labels, one) != is_right(labels, other), np.abs(one - other), 0.0))
    return Examples(lengths=lengths.tolist(), most_wrong=most_wrong, disagreements=disagreements, texts=texts)


def _end(text: str) -> str:
    """Of a long text its end, which decides."""
    return text if len(text) <= _CHARACTERS else "… " + text[-_CHARACTERS:]


def of_source(test: Reviews, trials: Trials, source: DataSource) -> Examples:
    """Chooses, and takes the texts as they stand in the source, where it still holds them; of others the known words.

    They are read now and kept: when a report is written again, the source may be gone.
    """
    chosen = choose(test.labels, trials, test.text, test.corpus.lengths[test.indices])
    rows, hashes = test.corpus.rows[test.indices], test.hashes
    keys = {number: (int(rows[int(number)]), int(hashes[int(number)])) for number in chosen.texts}
    found = originals.find(source, keys.values())
    texts = {number: _end(found[key]) for number, key in keys.items() if key in found}
    return chosen.but(texts=chosen.texts | texts, originals=sorted(map(int, texts)))


def choose_among(shards: Sequence[Examples], labels: NDArray[np.int8], trials: Trials) -> Examples:
    """Chooses among the reviews that the shards of a run chose: of others the text is not known.

    Args:
        labels: <int8>[test reviews]
    """
    texts = {number: text for shard in shards for number, text in shard.texts.items()}
    # One shard may have found a text that another one found no more.
    texts |= {str(number): shard.texts[str(number)] for shard in shards for number in shard.originals}
    known = {number for shard in shards for number in shard.originals}
    chosen = choose(labels, trials, lambda number: texts.get(str(number)), np.array(shards[0].lengths))
    return chosen.but(originals=sorted(known & set(map(int, chosen.texts))))
