"""Encoding: a source's reviews become flat arrays of token ids on disk, one review at a time."""

import hashlib
import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from job.data import near_copies
from job.data.labels import LabelMeaning
from job.data.numbered import MAIN, TEST_DATA, UNLABELLED_DATA, VALIDATION_DATA, Meaning, Source
from job.data.parts import LEFT_OUT, TEST, TRAIN, UNLABELLED, UNSAID, VALIDATION, held_out, holds_both
from job.errors import DataError
from job.files import atomic, checksum
from job.presets import START
from job.records.data import LabelRecord, Reading

_TEST_SHARE = 0.2
_FEW = "there are so few distinct texts that the test part was drawn from each class by itself: texts may change sides as rows are added, and its scores say little"
_MEANINGS = {0: "negative", 1: "positive", None: "left out"}
ARRAYS = ("tokens", "offsets", "labels", "parts", "hashes")
"""What determines the weights and scores of a run; with `groups`, where there are any."""
# Reviews whose words are in memory at a time.
_STEP = 10_000


class _Collected:
    """What is known of each review while the source is read; its words are in a file."""

    def __init__(self) -> None:
        self.lengths = array("q")
        self.labels, self.splits = array("i"), array("i")
        self.parts, self.origins = array("b"), array("b")
        self.hashes, self.groups = array("Q"), array("Q")
        self.rows = array("q")
        self.has_groups = self.has_ids = False

    def read(self, source: Source, folder: Path) -> None:
        with (folder / "provisional").open("wb") as words, (folder / "ids.jsonl").open("w", encoding="utf-8") as ids:
            for review in source.reviews():
                numbers = np.asarray(review.numbers, dtype=np.int32)
                words.write(numbers.tobytes())
                self.lengths.append(len(numbers))
                self.labels.append(review.label)
                self.splits.append(review.split)
                self.parts.append(review.part)
                self.origins.append(review.origin)
                self.hashes.append(review.hash)
                # Who is in no group is one by itself; copies of a text stay together.
                self.groups.append(review.hash if review.group is None else review.group)
                self.has_groups |= review.group is not None
                self.rows.append(review.row)
                self.has_ids |= review.id is not None
                ids.write(json.dumps(review.id) + "\n")


def encode(source: Source, folder: Path, for_scoring: bool = False) -> None:
    """Encodes into a new folder: the arrays of a `Corpus`, its vocabulary, and corpus.json, durably.

    Args:
        for_scoring: Nothing is to be learned from it: its words are those of all parts, and it may hold one class.

    Raises:
        DataError: There are no reviews, or a part does not hold both classes.
        MissingInputError: A file that belongs to the source is missing.
        OSError: Writing failed.
    """
    folder.mkdir()
    collected = _Collected()
    collected.read(source, folder)
    if not collected.lengths:
        raise DataError(f"{source.shown}: has no reviews")
    meaning = source.resolve(needs_both=not for_scoring)
    groups, hashes = np.frombuffer(collected.groups, np.uint64), np.frombuffer(collected.hashes, np.uint64)
    classes = _classes(meaning.labels)[np.frombuffer(collected.labels, np.int32)]
    parts, reasons = _parts(collected, meaning)
    for code, each in enumerate(meaning.labels):
        if each.meaning is None:
            reasons[f"label {each.label!r}"] = np.frombuffer(collected.labels, np.int32) == code
    kept, left_out = _leave_out(reasons, len(classes))
    own_test_part = bool(np.any(parts[kept] == TEST))
    labelled = kept & (parts != UNLABELLED)
    if not own_test_part:
        mine = np.flatnonzero(labelled & (parts == TRAIN))
        positions = groups[mine].astype(np.float64) / 2**64
        is_test = held_out(positions, classes[mine], _TEST_SHARE)
        parts[mine[is_test]] = TEST
        if not for_scoring and np.any(is_test != (positions < _TEST_SHARE)):
            meaning.warnings.append(_FEW)
    if not for_scoring:
        _require_both(source, classes[labelled], parts[labelled], hashes[labelled])
    lengths = np.frombuffer(collected.lengths, np.int64)
    is_unlabelled = parts == UNLABELLED
    if is_unlabelled.any():
        also, why = _leave_out(_of_no_use(is_unlabelled, labelled, parts, hashes, lengths), len(parts))
        kept, left_out = kept & also, left_out | why
        if not np.any(kept & is_unlabelled):
            shown = "; ".join(f"{count} {reason}" for reason, count in why.items())
            raise DataError(f"{source.shown}: none of the {int(is_unlabelled.sum())} texts of --unlabelled is of use: {shown}")

    words = _Words(folder / "provisional", lengths)
    places = np.flatnonzero(kept)
    vocabulary, ids = source.vocabulary(words.count(np.flatnonzero(labelled if for_scoring else labelled & (parts == TRAIN))))
    arrays: dict[str, NDArray[Any]] = {
        "offsets": np.concatenate([[0], np.cumsum(words.lengths[places] + 1)]),
        "labels": classes[places],
        "parts": parts[places],
        "hashes": hashes[places],
        "rows": np.frombuffer(collected.rows, np.int64)[places],
    }
    if collected.has_groups:
        arrays["groups"] = groups[places]
    for key, value in arrays.items():
        np.save(folder / f"{key}.npy", value)
    _write_tokens(folder / "tokens.npy", words, places, ids)
    if collected.has_ids:
        _write_ids(folder, places[parts[places] == TEST])
    text = json.dumps(vocabulary)
    (folder / "vocabulary.json").write_text(text, "utf-8")
    digest = hashlib.sha256(text.encode())
    for key in (*ARRAYS, *(["groups"] if collected.has_groups else [])):
        digest.update(bytes.fromhex(checksum.of_file(folder / f"{key}.npy")))
    looks = not (source.is_generated or for_scoring)
    reading = Reading(
        rows=len(classes),
        left_out=left_out,
        columns=meaning.columns,
        labels=[LabelRecord(label=each.label, meaning=_MEANINGS[each.meaning], rows=each.rows) for each in meaning.labels],  # type: ignore[arg-type]
        label_rule=meaning.rule,
        takes_out_html=source.takes_out_html,
        notices=list(dict.fromkeys(meaning.notices)),
        warnings=list(dict.fromkeys(meaning.warnings)),
        near_copies=near_copies.count(words.texts, places, parts, hashes) if looks else None,
        **({"unlabelled": int(np.sum(kept & is_unlabelled))} if is_unlabelled.any() else {}),
    )
    (folder / "provisional").unlink()
    (folder / "ids.jsonl").unlink()
    record = {
        "name": source.name,
        "own_test_part": own_test_part,
        "own_validation_part": bool(np.any(arrays["parts"] == VALIDATION)),
        "is_generated": source.is_generated,
        "sha256": digest.hexdigest(),
        "reading": reading.to_values(),
    }
    (folder / "corpus.json").write_text(json.dumps(record), "utf-8")
    atomic.flush(folder)


def _classes(labels: list[LabelMeaning]) -> NDArray[np.int8]:
    """The class of each label code, <int8>[codes + 1]; the last one is that of `NO_LABEL`, -1, and stands for nothing."""
    return np.array([*(-1 if each.meaning is None else each.meaning for each in labels), 0], np.int8)


def _parts(collected: _Collected, meaning: Meaning) -> tuple[NDArray[np.int8], dict[str, NDArray[np.bool_]]]:
    """The part of each review, <int8>[reviews], and by reason which ones are of none that is used."""
    splits, origins = np.frombuffer(collected.splits, np.int32), np.frombuffer(collected.origins, np.int8)
    said = np.frombuffer(collected.parts, np.int8).copy()
    by_column = np.array([*meaning.parts, UNSAID], np.int8)[splits if meaning.parts else np.full(len(splits), -1)]
    said[by_column != UNSAID] = by_column[by_column != UNSAID]
    reasons = {"in a part that is not used (unlabelled)": said == LEFT_OUT}
    parts = said.copy()
    for origin, part, option in ((TEST_DATA, TEST, "--test-data"), (VALIDATION_DATA, VALIDATION, "--validation-data")):
        mine = origins == origin
        if not mine.any():
            continue
        reasons[f"rows of --data that {option} replaces"] = (origins == MAIN) & (said == part)
        # Of other data with parts of their own, theirs of the same name is meant.
        if np.any(said[mine] == part):
            reasons[f"rows of {option} outside its own part of that name"] = mine & (said != part)
        parts[mine] = part
    parts[origins == UNLABELLED_DATA] = UNLABELLED
    parts[parts == UNSAID] = TRAIN
    return parts, reasons


def _leave_out(reasons: dict[str, NDArray[np.bool_]], rows: int) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which reviews are kept, and how many are not, by reason; the first reason counts."""
    kept, counts = np.ones(rows, bool), {}
    for reason, which in reasons.items():
        count = int(np.sum(kept & which))
        if count:
            counts[reason] = count
        kept &= ~which
    return kept, counts


def _of_no_use(
    is_unlabelled: NDArray[np.bool_],
    labelled: NDArray[np.bool_],
    parts: NDArray[np.int8],
    hashes: NDArray[np.uint64],
    lengths: NDArray[np.int64],
) -> dict[str, NDArray[np.bool_]]:
    """By reason, which texts without labels are left out: nothing may be learned from a text that is tested on."""
    reasons = {"unlabelled texts that are empty": is_unlabelled & (lengths == 0)}
    for name, part in (("test", TEST), ("validation", VALIDATION), ("training", TRAIN)):
        known = hashes[labelled & (parts == part)]
        reasons[f"unlabelled texts that are {name} texts, word for word"] = is_unlabelled & np.isin(hashes, known)
    places = np.flatnonzero(is_unlabelled)
    first = np.unique(hashes[places], return_index=True)[1]
    is_copy = is_unlabelled.copy()
    is_copy[places[first]] = False
    return reasons | {"unlabelled texts that repeat another one": is_copy}


def _require_both(source: Source, classes: NDArray[np.int8], parts: NDArray[np.int8], hashes: NDArray[np.uint64]) -> None:
    distinct = len(np.unique(hashes))
    both = len(np.intersect1d(hashes[classes == 0], hashes[classes == 1]))
    of_copies = (
        f"; its {len(hashes)} rows hold {distinct} distinct text{'s' if distinct > 1 else ''}" if distinct < len(hashes) else ""
    )
    of_them = "" if distinct == 1 else f", {both} of them"
    of_both = f"{of_them} with both labels" if both else ""
    for number, side in ((TRAIN, "training"), (TEST, "test")):
        if not holds_both(classes[parts == number]):
            raise DataError(
                f"{source.shown}: the {side} part ({int((parts == number).sum())} of {len(classes)} reviews) does not hold both classes{of_copies}{of_both}; at least three distinct texts of each class are needed, one for each part, and better some hundreds, or a test part of your own (--test-data)"
            )


class _Words:
    """The words of all reviews as they were numbered, in a file.

    Args:
        lengths: <int64>[reviews], the words of each.
    """

    def __init__(self, path: Path, lengths: NDArray[np.int64]) -> None:
        self.lengths = lengths
        self._starts = np.concatenate([[0], np.cumsum(lengths)])
        self._all = np.memmap(path, dtype=np.int32, mode="r") if self._starts[-1] else np.empty(0, np.int32)

    def texts(self, places: NDArray[np.int64]) -> Iterator[NDArray[np.int32]]:
        """The numbers of some reviews' words, one after the other: each <int32>[words]."""
        for place in places.tolist():
            yield np.asarray(self._all[self._starts[place] : self._starts[place + 1]])

    def blocks(self, places: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32]]]:
        """Some of these places at a time, and all their words: <int32>[words]."""
        for first in range(0, len(places), _STEP):
            some = places[first : first + _STEP]
            yield some, np.concatenate([np.empty(0, np.int32), *self.texts(some)])

    def count(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often each word occurs in these reviews: <int64>[numbers, up to the last that does]."""
        counts = np.zeros(0, np.int64)
        for _, words in self.blocks(places):
            more = np.bincount(words)
            if len(more) > len(counts):
                counts = np.pad(counts, (0, len(more) - len(counts)))
            counts[: len(more)] += more
        return counts


def _write_tokens(path: Path, words: _Words, places: NDArray[np.int64], ids: NDArray[np.int64]) -> None:
    """Turns word numbers into ids, some reviews at a time, with a start token before each."""
    count = int(words.lengths[places].sum()) + len(places)
    # Not through a memory map: on a full disk, writing into one ends the process.
    with path.open("wb") as stream:
        npy_format.write_array_header_1_0(stream, {"descr": "<i4", "fortran_order": False, "shape": (count,)})
        for some, numbers in words.blocks(places):
            lengths = words.lengths[some] + 1
            starts = np.cumsum(lengths) - lengths
            is_word = np.ones(int(lengths.sum()), dtype=bool)
            is_word[starts] = False
            block = np.full(len(is_word), START, dtype="<i4")
            block[is_word] = ids[numbers]
            stream.write(block.tobytes())


def _write_ids(folder: Path, places: NDArray[np.int64]) -> None:
    """ids.json: those of the test reviews, in their order."""
    wanted = set(places.tolist())
    with (folder / "ids.jsonl").open(encoding="utf-8") as lines, (folder / "ids.json").open("w", encoding="utf-8") as stream:
        found = [line.strip() for place, line in enumerate(lines) if place in wanted]
        stream.write(f"[{', '.join(found)}]")
