"""What the n-grams that end at each word say of the label, as numbers that a network reads beside the words.

There are six a token: of the word, the pair and the triple that end there the naive Bayes log-count ratio, then of each the
linear model's weight. A training review's come from a fit without it (job/training/evidence.py makes them), so that they
tell it no more of its label than they tell of a new review's.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from job.data import ngrams
from job.data.corpus import release
from job.data.ngrams import Ngrams
from job.files.reading import require_files

KINDS = 6
"""Numbers a token: three ratios, three weights."""


@dataclass(frozen=True, eq=False)
class Tables:
    """Where the numbers of a review that nothing was fitted on are looked up."""

    ngrams: Ngrams
    values: NDArray[np.float16]
    """<float16>[features + 1, 2]: ratio and weight over their scale; last, zeros for what is no feature."""
    scales: NDArray[np.float32]
    """<float32>[6], by which the numbers were divided, so that each one's root mean square is 1."""
    bias: np.float32
    """Of the linear model."""

    def numbers(self, tokens: NDArray[np.int32], owners: NDArray[np.int64]) -> NDArray[np.float16]:
        """The numbers of each token, <float16>[tokens, 6].

        Args:
            tokens, owners: As in `Ngrams.ending`.
        """
        return looked_up(self.values, self.ngrams.ending(tokens, owners))

    def logits(self, tokens: NDArray[np.int32], owners: NDArray[np.int64], reviews: int) -> NDArray[np.float32]:
        """The linear model's logits, <float32>[reviews]; `tokens`, `owners` and `reviews` as in `ngrams.occurrences`."""
        present = ngrams.occurrences(tokens, owners, reviews, self.ngrams)
        return np.asarray(present @ self.weights() + self.bias, np.float32)

    def weights(self) -> NDArray[np.float64]:
        """The linear model's, <float64>[features], as the rounded numbers have them."""
        return self.values[:-1, 1].astype(np.float64) * per_feature(self.scales[3:], self.ngrams)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name, for `of_arrays`."""
        size = np.array([self.ngrams.vocabulary_size])
        keys = {"bigrams": self.ngrams.bigrams, "trigrams": self.ngrams.trigrams, "vocabulary_size": size}
        return keys | {"values": self.values, "scales": self.scales, "bias": np.array([self.bias], np.float32)}

    def to_safetensors(self) -> bytes:
        """As a file."""
        from safetensors.numpy import save

        return bytes(save({name: np.ascontiguousarray(array) for name, array in self.arrays().items()}))

    @classmethod
    def of_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        """What `arrays` gave; raises `ValueError` or `LookupError` where that is something else."""
        known = Ngrams(int(arrays["vocabulary_size"][0]), arrays["bigrams"], arrays["trigrams"])
        found = cls(known, arrays["values"], arrays["scales"], arrays["bias"][0])
        if (
            (found.values.shape, found.scales.shape) != ((len(known) + 1, 2), (KINDS,))
            or known.bigrams.ndim != 1
            or known.trigrams.ndim != 1
        ):
            raise ValueError("its arrays do not belong together")
        return found


@dataclass(frozen=True, eq=False)
class Evidence:
    """The numbers of all reviews of a corpus."""

    tables: Tables
    numbers: NDArray[np.float16]
    """<float16>[tokens that are read, 6], one review after the other."""
    offsets: NDArray[np.int64]
    """<int64>[reviews + 1]: review `i` has `numbers[offsets[i]:offsets[i + 1]]`."""
    logits: NDArray[np.float32]
    """<float32>[reviews], the linear model's, in the same way from a fit without the review."""
    folder: Path | None = None
    """What is mapped; None where no other process can map it."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the same files."""
        if self.folder is not None:
            return mapped, (self.folder,)
        return Evidence, (self.tables, self.numbers, self.offsets, self.logits)

    def of(self, index: int, kinds: int) -> NDArray[np.float16]:
        """The first so many numbers of each token of a review, <float16>[tokens, kinds]."""
        return np.asarray(self.numbers)[self.offsets[index] : self.offsets[index + 1], :kinds]

    def release(self) -> None:
        """Releases the mapped pages that were read, as `Corpus.release` does."""
        release(self.numbers)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What job/training/evidence.py wrote into a folder; the numbers are mapped."""
        require_files(folder)
        names = ("offsets", "logits", "bigrams", "trigrams", "vocabulary_size", "values", "scales", "bias")
        arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in names}
        numbers = np.load(folder / "numbers.npy", mmap_mode="r", allow_pickle=False)
        found = cls(Tables.of_arrays(arrays), numbers, arrays["offsets"], arrays["logits"], folder)
        if found.offsets[-1] != len(numbers) or len(found.logits) + 1 != len(found.offsets):
            raise ValueError("its arrays do not belong together")
        return found


@functools.lru_cache(maxsize=2)
def mapped(folder: Path) -> Evidence:
    """What `Evidence.read` reads; the same object each time."""
    return Evidence.read(folder)


def looked_up(values: NDArray[np.float16], features: NDArray[np.int32]) -> NDArray[np.float16]:
    """The numbers <float16>[tokens, 6] of the features that end at each token, <int32>[tokens, 3]."""
    # -1 is the last row.
    found = values[features]
    return np.concatenate([found[:, :, 0], found[:, :, 1]], axis=1)


def per_feature(by_order: NDArray[np.float32], known: Ngrams) -> NDArray[np.float64]:
    """Three values, of words, pairs and triples, as <float64>[features]."""
    counts = (known.vocabulary_size, len(known.bigrams), len(known.trigrams))
    return np.repeat(by_order.astype(np.float64), counts)
