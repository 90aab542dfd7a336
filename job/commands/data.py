"""Data sets: fetched and encoded into the cache, inspected, and described for a run that used them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from job.analysis import scores
from job.data import corpus as corpora
from job.data import findings
from job.data.corpus import Corpus
from job.data.reviews import Parts, Reviews
from job.output.predictions import TestReviews
from job.records.data import Reading
from job.records.metrics import DataRecord
from job.source import DataSource


@dataclass(frozen=True, kw_only=True)
class PartInspection:
    """What is in one part of a data set. Tokens are counted without start tokens."""

    reviews: int
    positive: int | None
    """None where there are no labels."""
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
    validation: PartInspection | None
    """None where the source has none of its own, so that it is split off in training."""
    test: PartInspection
    unlabelled: PartInspection | None
    """Of the texts of --unlabelled; None where none were named."""
    unknown_test_tokens: float
    """The share of the test part's tokens that are not in the vocabulary."""
    test_texts_in_train: int
    reading: Reading
    """What became of every row."""
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
    validation = _inspect_part(corpus, "validation") if corpus.own_validation_part else None
    by = "its group's" if corpus.groups is not None else "each text's"
    return Inspection(
        name=corpus.name,
        sha256=corpus.sha256,
        vocabulary=len(corpus.words),
        most_frequent_words=corpus.words[:10],
        test_part="its own" if corpus.own_test_part else f"split off by {by} hash",
        train=_inspect_part(corpus, "train"),
        validation=validation,
        test=_inspect_part(corpus, "test"),
        unlabelled=_inspect_part(corpus, "unlabelled") if corpus.reading.unlabelled else None,
        unknown_test_tokens=round(findings.unknown_share(corpus, "test"), 4),
        test_texts_in_train=findings.shared_texts(corpus, "test"),
        reading=corpus.reading,
        faults=findings.faults(corpus),
    )


def _inspect_part(corpus: Corpus, name: str) -> PartInspection:
    indices = corpus.part(name)
    # The start token is no word of the review.
    lengths = corpus.lengths[indices] - 1
    return PartInspection(
        reviews=len(indices),
        positive=None if name == "unlabelled" else int(corpus.labels[indices].sum()),
        tokens=int(lengths.sum()),
        tokens_mean=round(float(lengths.mean()), 2),
        tokens_median=float(np.median(lengths)),
        tokens_longest=int(lengths.max()),
        empty=int((lengths == 0).sum()),
        duplicates=len(indices) - len(np.unique(corpus.hashes[indices])),
    )


def describe(corpus: Corpus, parts: Parts, faults: list[str]) -> DataRecord:
    """What metrics.json tells of the data of a run.

    Args:
        faults: What is wrong with them.
    """
    train, validation, test = parts
    used = sum(map(len, parts))
    beyond = {"not among those that the preset takes": count} if (count := len(corpus.labelled) - used) else {}
    return DataRecord(
        name=corpus.name,
        sha256=corpus.sha256,
        train_reviews=len(train),
        validation_reviews=len(validation),
        test_reviews=len(test),
        vocabulary=len(corpus.words),
        own_test_part=corpus.own_test_part,
        left_out_reviews=corpus.reading.rows - used - corpus.reading.unlabelled,
        unlabelled_reviews=corpus.reading.unlabelled,
        reading=corpus.reading.but(left_out=corpus.reading.left_out | beyond),
        faults=faults,
        majority=scores.majority(train.labels, test.labels),
    )


def named(test: Reviews) -> TestReviews:
    """The test part's labels, where its reviews come from, and what the user knows them by."""
    corpus, ids = test.corpus, None
    if corpus.ids is not None:
        place = {index: number for number, index in enumerate(corpus.part("test").tolist())}
        ids = [corpus.ids[place[index]] for index in test.indices.tolist()]
    return TestReviews(labels=test.labels, rows=corpus.rows[test.indices], ids=ids)
