"""Makes the numbers of job/data/evidence.py: out of fold for the training reviews, from a fit on all of them for the others."""

import functools
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from job.data import ngrams
from job.data.cache import staging_folder
from job.data.evidence import KINDS, Evidence, Tables, looked_up, per_feature
from job.data.ngrams import Ngrams
from job.data.reviews import Parts, Reviews
from job.errors import InputOutputError, OutputError
from job.files import atomic
from job.presets import ClassWeight, Hyperparameters
from job.training import linear
from job.training.linear import LinearModel

log = logging.getLogger(__name__)
# Part of the cache's key: raise it when what is made changes.
_VERSION = 1
# The training reviews are cut into so many parts, each of which gets its numbers from a fit on the others.
FOLDS = 8
# A feature that is in fewer reviews counts for nothing: it could only be learned by heart.
_LEAST = 2
_BLOCK = 10_000
# Reviews that the scale of the numbers is taken from.
_SCALED = 5_000


def load(train: Reviews, values: Hyperparameters, cache: Path, spare: Path | None = None) -> Evidence:
    """The numbers for all reviews of a corpus, from the cache, or made now and kept there.

    Args:
        train: The training reviews, in folds of which the linear models are fitted.
        spare: As in job/data/corpus.py.

    Raises:
        InputOutputError: Neither the cache nor a temporary folder can be written.
    """
    return _load(train, values.class_weight, cache, spare)


# Every training of a run asks for them; without a cache that can be written, each would make them anew.
@functools.lru_cache(maxsize=2)
def _load(train: Reviews, class_weight: ClassWeight, cache: Path, spare: Path | None) -> Evidence:
    try:
        return Evidence.read(_fill(train, class_weight, cache))
    except OutputError as error:
        log.warning(f"{error}; what the n-grams say is found out for this run only")
    if spare is not None:
        with _explained(spare):
            _make(train, class_weight, spare / "evidence")
            return Evidence.read(spare / "evidence")
    with _explained(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory(prefix="sentiment-job-") as temporary:
        made = Path(temporary, "evidence")
        _make(train, class_weight, made)
        # What is mapped stays there for this process, though the files go.
        return replace(Evidence.read(made), folder=None)


def attached(parts: Parts, values: Hyperparameters, source: Path | Evidence | None) -> Parts:
    """The same parts with the numbers that a network reads; raises what `load` does.

    Args:
        source: The numbers, or the cache that keeps them; None for a network that reads none.
    """
    if not values.evidence:
        return parts
    assert source is not None
    found = load(parts.train, values, source) if isinstance(source, Path) else source
    return Parts(*(replace(part, evidence=found, kinds=values.evidence) for part in parts))


def _fill(train: Reviews, class_weight: ClassWeight, cache: Path) -> Path:
    corpus = train.corpus
    chosen = hashlib.sha256(train.indices.tobytes()).hexdigest()
    settings = [class_weight, train.vocabulary_size, train.max_tokens]
    key = hashlib.sha256(json.dumps([_VERSION, corpus.sha256, chosen, *settings]).encode()).hexdigest()[:32]
    folder = cache / "evidence" / key
    if _is_whole(folder):
        return folder
    with staging_folder(cache, key) as staging:
        if _is_whole(folder):
            return folder
        made = staging / "evidence"
        with _explained(folder.parent):
            shutil.rmtree(folder, ignore_errors=True)
            _make(train, class_weight, made)
            folder.parent.mkdir(exist_ok=True)
            os.replace(made, folder)
    return folder


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputOutputError(
            f"{folder}: writing what the n-grams say failed ({error.strerror or error}); free some space or name another folder with --cache"
        ) from None


def _is_whole(folder: Path) -> bool:
    try:
        Evidence.read(folder)
    except (OSError, ValueError, KeyError, IndexError, EOFError):
        return False
    return True


def _make(train: Reviews, class_weight: ClassWeight, folder: Path) -> None:
    """Writes all arrays into a new folder."""
    started = time.perf_counter()
    folder.mkdir()
    sample = linear.sample(train)
    known = ngrams.frequent(sample, linear.BIGRAMS, linear.TRIGRAMS)
    whole, models = _fit(sample, known, class_weight)
    scales = _scales(sample, known, models)
    every, tables = _table(whole, scales), [_table(model, scales) for model in models]
    kept = Tables(known, every, scales, whole.bias)

    corpus = train.corpus
    # Which fold's fit a review's numbers come from; of all but the training reviews the last one, on all of them.
    source = np.full(len(corpus.labels), len(tables))
    source[train.indices] = folds(train)
    read = Reviews(corpus, np.arange(len(source)), train.vocabulary_size, train.max_tokens)
    offsets = np.concatenate([[0], np.cumsum(read.lengths)])
    logits = np.empty(len(source), np.float32)
    biases = [model.bias for model in models] + [whole.bias]
    with (folder / "numbers.npy").open("wb") as stream:
        header = {"descr": "<f2", "fortran_order": False, "shape": (int(offsets[-1]), KINDS)}
        npy_format.write_array_header_1_0(stream, header)
        for first in range(0, len(source), _BLOCK):
            block = read.take(slice(first, first + _BLOCK))
            mine = source[first : first + _BLOCK]
            tokens, owners = ngrams.flat(block)
            features = known.ending(tokens, owners)
            numbers = np.empty((len(tokens), KINDS), np.float16)
            present = ngrams.occurrences(tokens, owners, len(block), known)
            for number, table in enumerate([*tables, every]):
                its_own = mine == number
                inside = its_own[owners]
                numbers[inside] = looked_up(table, features[inside])
                weights = Tables(known, table, scales, biases[number]).weights()
                logits[first + np.flatnonzero(its_own)] = present[its_own] @ weights + biases[number]
            stream.write(numbers.tobytes())
    for name, array in {"offsets": offsets, "logits": logits, **kept.arrays()}.items():
        np.save(folder / f"{name}.npy", array)
    atomic.flush(folder)
    log.info(
        f"what {len(known):,} n-grams say of {len(sample):,} reviews: {FOLDS} folds, {time.perf_counter() - started:.0f} s"
    )


def folds(reviews: Reviews) -> NDArray[np.int64]:
    """The fold of each review, <int64>[reviews]: by its group where there are some, else by its text.

    So whole groups, and all copies of a text, are in one fold.
    """
    corpus = reviews.corpus
    keys = corpus.hashes if corpus.groups is None else corpus.groups
    # Not the bits that split off the parts: of those only some values remain here.
    return (keys[reviews.indices] >> np.uint64(32)).astype(np.int64) % FOLDS


def _fit(sample: Reviews, known: Ngrams, class_weight: ClassWeight) -> tuple[LinearModel, list[LinearModel]]:
    """The fit on all, and those without each fold."""
    present, labels, mine = ngrams.presence(sample, known), sample.labels, folds(sample)

    def fit(fold: int) -> LinearModel:
        rest = mine != fold
        return linear.fit(present[rest], labels[rest], known, linear.INVERSE_PENALTY, class_weight, _LEAST)

    # One after the other: Liblinear draws from one generator for the whole process, so threads would spoil each other's draws.
    return fit(-1), [fit(fold) for fold in range(FOLDS)]


def _scales(sample: Reviews, known: Ngrams, models: list[LinearModel]) -> NDArray[np.float32]:
    """The root mean square of each of the six numbers over training reviews, <float32>[6]; 1 where it is 0."""
    chosen = sample.take(slice(0, _SCALED))
    tokens, owners = ngrams.flat(chosen)
    features, mine = known.ending(tokens, owners), folds(chosen)[owners]
    squares = np.zeros(KINDS)
    for number, model in enumerate(models):
        inside = features[mine == number]
        for kind, array in enumerate((model.ratios, model.weights)):
            found = np.append(array, np.float32(0)).astype(np.float64)[inside]
            squares[3 * kind : 3 * kind + 3] += (found**2).sum(0)
    scales = np.sqrt(squares / max(1, len(tokens)))
    return np.where(scales > 0, scales, 1.0).astype(np.float32)


def _table(model: LinearModel, scales: NDArray[np.float32]) -> NDArray[np.float16]:
    """Ratios and weights over their scale, and zeros last: <float16>[features + 1, 2]."""
    columns: list[NDArray[Any]] = []
    for kind, array in enumerate((model.ratios, model.weights)):
        columns.append(array / per_feature(scales[3 * kind : 3 * kind + 3], model.ngrams))
    return np.append(np.stack(columns, axis=1), [[0.0, 0.0]], axis=0).astype(np.float16)
