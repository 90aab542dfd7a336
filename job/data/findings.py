"""What is wrong with a data set, a sentence each, as `data inspect` lists it and `train` warns of it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores
from job.data.corpus import Corpus
from job.presets import UNKNOWN
from job.records.data import LabelRecord, Reading

_PARTS = ("train", "validation", "test")
_SHOWN = 5
# Reviews between two releases of mapped pages.
_RELEASE = 1000
# The share of the training reviews below which a class is rare enough to tell of.
_RARE = 0.2


def unknown_share(corpus: Corpus, name: str) -> float:
    """The share of a part's tokens that are not in the vocabulary, which is of the training part; 0 where there are none."""
    unknown = words = 0
    # Review by review: memory is not to grow with the data.
    for number, index in enumerate(corpus.part(name).tolist(), 1):
        review = corpus.review(index)[1:]
        unknown, words = unknown + int(np.count_nonzero(review == UNKNOWN)), words + len(review)
        if number % _RELEASE == 0:
            corpus.release()
    return unknown / words if words else 0.0


def shared_texts(corpus: Corpus, name: str) -> int:
    """How many reviews of a part have a text of the training part."""
    return int(np.isin(corpus.hashes[corpus.part(name)], corpus.hashes[corpus.part("train")]).sum())


def faults(corpus: Corpus) -> list[str]:
    """All that is wrong, the reading's own warnings first; nothing is wrong with what the package made itself."""
    return [] if corpus.is_generated else [*corpus.reading.warnings, *_faults(corpus)]


def describe(reading: Reading) -> str:
    """What was read as what, in a line."""
    columns = [f"{use} from the column {column!r}" for use, column in reading.columns.items()]
    labels: dict[str, list[LabelRecord]] = {}
    for each in reading.labels:
        labels.setdefault(each.meaning, []).append(each)
    said = [f"{reading.rows:,} rows", *columns, f"labels by the rule: {reading.label_rule}"]
    for meaning, all_of_it in labels.items():
        some = ", ".join(repr(label.label) for label in all_of_it[:_SHOWN]) + (" and others" if len(all_of_it) > _SHOWN else "")
        said.append(f"{meaning}: {some} ({sum(label.rows for label in all_of_it):,} rows)")
    said += [f"unlabelled: {reading.unlabelled:,} texts"] if reading.unlabelled else []
    said += [f"left out: {count:,} rows, {reason}" for reason, count in reading.left_out.items()]
    return "; ".join(said)


def _faults(corpus: Corpus) -> Iterator[str]:
    for name in _PARTS:
        indices = corpus.part(name)
        empty = int((corpus.lengths[indices] == 1).sum())
        copies = len(indices) - len(np.unique(corpus.hashes[indices]))
        if empty:
            yield f"{_texts(empty, name)} {_are(empty)} empty: each is read as a start token alone"
        if copies:
            yield f"{_texts(copies, name)} repeat{'s' if copies == 1 else ''} another one"
    for name in ("validation", "test"):
        shared = shared_texts(corpus, name)
        if shared:
            yield f"{_texts(shared, name)} {_are(shared)} in the training part too, so {name} accuracy flatters"
        unknown = unknown_share(corpus, name)
        if unknown > 0.5:
            yield f"{unknown:.0%} of the words of the {name} part are in no training text, so little can be said of it"
    unknown = unknown_share(corpus, "unlabelled")
    if unknown > 0.5:
        yield f"{unknown:.0%} of the words of the unlabelled texts are in no training text, so little can be learned from them"
    yield from _near_copies(corpus)
    yield from _shared_groups(corpus)
    labels, hashes = corpus.labels[corpus.labelled], corpus.hashes[corpus.labelled]
    contradictions = len(np.intersect1d(hashes[labels == 1], hashes[labels == 0]))
    if contradictions:
        yield f"{_texts(contradictions)} occur{'s' if contradictions == 1 else ''} with both labels"
    rare = imbalance(corpus)
    if rare is not None:
        yield rare


def imbalance(corpus: Corpus) -> str | None:
    """Where one class is rare, accuracy is high for whoever never names it; None where that is no trouble."""
    most = scores.majority(corpus.labels[corpus.part("train")], corpus.labels[corpus.part("test")])
    rare = 1.0 - most.train_share
    if rare >= _RARE:
        return None
    other = "negative" if most.label == "positive" else "positive"
    return (
        f"{100 * rare:.2g} % of the training texts are {other}: accuracy says little here (always answering {most.label} gets "
        f"{most.train_share:.3g}); look at balanced accuracy and average precision"
    )


def _texts(count: int, part: str = "") -> str:
    return f"{count} {part} text{'' if count == 1 else 's'}".replace("  ", " ")


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _near_copies(corpus: Corpus) -> Iterator[str]:
    found = corpus.reading.near_copies
    if found is not None and found.found:
        yield f"{found.found} of {found.looked_at} test texts {_are(found.found)} a training text but for a few words, so test accuracy flatters"


def _shared_groups(corpus: Corpus) -> Iterator[str]:
    if corpus.groups is None:
        return
    training: NDArray[np.uint64] = np.unique(corpus.groups[corpus.part("train")])
    for name in ("validation", "test"):
        groups = np.unique(corpus.groups[corpus.part(name)])
        shared = int(np.isin(groups, training).sum())
        if shared:
            yield f"{shared} of {len(groups)} groups of the {name} part {_are(shared)} in the training part, too, so {name} accuracy flatters"
