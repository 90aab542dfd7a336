"""Data sets ahead of training: fetched and encoded into the cache, and inspected."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from job.config import DataSource
from job.data import corpus as corpora
from job.data.corpus import Corpus
from job.presets import UNKNOWN


@dataclass(frozen=True, kw_only=True)
class PartInspection:
    """What is in one part of a data set. Tokens are counted without start tokens."""

    reviews: int
    positive: int
    tokens: int
    tokens_mean: float
    tokens_median: float
    tokens_longest: int
    empty: int
    """Reviews without a word."""
    duplicates: int
    """Reviews whose words are those of another one."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What is in a data set, and what is wrong with it."""

    name: str
    sha256: str
    vocabulary: int
    most_frequent_words: list[str]
    test_part: str
    """Where the test part comes from, in words."""
    train: PartInspection
    test: PartInspection
    unknown_test_tokens: float
    """The share of the test part's tokens that are not in the vocabulary."""
    test_texts_in_train: int
    faults: list[str]
    """One sentence for each."""


def fetch(source: DataSource) -> Path:
    """Fills the cache with a source, fetched and encoded; returns the folder where it lies. Raises as `corpus.fill` does."""
    return corpora.fill(source)


def inspect(source: DataSource) -> Inspection:
    """Counts, lengths and faults of a data set. Raises what `corpus.load` does."""
    return inspect_corpus(corpora.load(source))


def inspect_corpus(corpus: Corpus) -> Inspection:
    """Counts, lengths and faults of encoded data."""
    train, test = corpus.part("train"), corpus.part("test")
    shared = int(np.isin(corpus.hashes[test], corpus.hashes[train]).sum())
    test_tokens = np.concatenate([corpus.review(int(index)) for index in test])
    parts = {name: _inspect_part(corpus, name) for name in ("train", "test")}
    return Inspection(
        name=corpus.name,
        sha256=corpus.sha256,
        vocabulary=len(corpus.words),
        most_frequent_words=corpus.words[:10],
        test_part="its own" if corpus.own_test_part else "split off by each text's hash",
        **parts,
        unknown_test_tokens=round(float(np.mean(test_tokens == UNKNOWN)), 4),
        test_texts_in_train=shared,
        faults=list(_faults(parts, shared, _contradictions(corpus))),
    )


def _inspect_part(corpus: Corpus, name: str) -> PartInspection:
    indices = corpus.part(name)
    # The start token is no word of the review.
    lengths = corpus.lengths[indices] - 1
    return PartInspection(
        reviews=len(indices),
        positive=int(corpus.labels[indices].sum()),
        tokens=int(lengths.sum()),
        tokens_mean=round(float(lengths.mean()), 2),
        tokens_median=float(np.median(lengths)),
        tokens_longest=int(lengths.max()),
        empty=int((lengths == 0).sum()),
        duplicates=len(indices) - len(np.unique(corpus.hashes[indices])),
    )


def _faults(parts: dict[str, PartInspection], shared: int, contradictions: int) -> Iterator[str]:
    for name, part in parts.items():
        if part.empty:
            yield f"{part.empty} {name} texts are empty: each is read as a start token alone"
        if part.duplicates:
            yield f"{part.duplicates} {name} texts repeat another one"
    if shared:
        yield f"{shared} test texts are in the training part too, so test accuracy flatters"
    if contradictions:
        yield f"{contradictions} texts occur with both labels"
    share = parts["train"].positive / parts["train"].reviews
    if not 0.2 <= share <= 0.8:
        yield f"{share:.0%} of the training texts are positive: accuracy says little, look at AUC and F1"


def _contradictions(corpus: Corpus) -> int:
    """How many texts occur with both labels."""
    positive = np.unique(corpus.hashes[corpus.labels == 1])
    return len(np.intersect1d(positive, np.unique(corpus.hashes[corpus.labels == 0])))
