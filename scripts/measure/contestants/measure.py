"""What every contestant shares: the batches, and the clock. Needs NumPy and nothing else."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


class Batches:
    """Reviews in the order of a file that scripts.measure.speed wrote, padded at their end.

    Args:
        length: Pad to so many tokens; by default to the longest of the batch.
        share: The part of the batches that is used.
    """

    def __init__(self, path: str, length: int | None = None, share: float = 1.0) -> None:
        with np.load(path) as file:
            self._tokens, self._offsets, self._labels = file["tokens"], file["offsets"], file["labels"]
            self.vocabulary_size, size = int(file["vocabulary_size"]), int(file["batch_size"])
        self._length = length
        count = len(self._labels) // size
        self.places = [np.arange(size) + size * number for number in range(max(1, round(count * share)))]
        self.longest = int(np.diff(self._offsets).max())
        self.tokens = int(self._offsets[len(self.places) * size])

    def flat(self) -> tuple[Any, Any, Any]:
        """All tokens <int32>[tokens], each review's length <int64>[reviews] and label <float32>[reviews]."""
        return self._tokens, np.diff(self._offsets), self._labels.astype(np.float32)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Token ids <int32>[batch, length] and labels <float32>[batch]."""
        for places in self.places:
            reviews = [self._tokens[self._offsets[place] : self._offsets[place + 1]] for place in places]
            ids = np.zeros((len(reviews), self._length or max(map(len, reviews))), np.int32)
            for row, review in zip(ids, reviews, strict=True):
                row[: len(review)] = review
            yield ids, self._labels[places].astype(np.float32)


def measure(run: Callable[[int], float], count: int, tokens: int, **more: Any) -> None:
    """Runs `count` steps twice and prints the second pass's figures: the first one compiles, allocates and warms up.

    Args:
        run: Does the step of a number and returns its loss, so that nothing is left undone.
        tokens: Real tokens of one pass.
    """
    losses = [run(0)]
    first = time.time() - float(os.environ["BENCHMARK_STARTED"])
    losses += [run(number) for number in range(1, count)]
    began = time.perf_counter()
    losses += [run(number) for number in range(count)]
    report(time.perf_counter() - began, tokens, first, losses, **more)


def report(seconds: float, tokens: int, first: float | None, losses: list[float], **more: Any) -> None:
    """Prints a contestant's figures as one line of JSON."""
    if not np.isfinite(losses).all():
        sys.exit("error: a loss is not a number")
    figures = {
        "tokens_per_second": tokens / seconds,
        "seconds_to_first_step": first,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "first_loss": losses[0],
        "last_loss": losses[-1],
    }
    print(json.dumps(figures | more))
