"""predictions.csv: every test review's probability, by architecture and seed. Written and read a training at a time."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.output.cells import of_cell, to_cell

_HEADER = ["architecture", "seed", "review", "label", "probability"]


@dataclass(frozen=True, kw_only=True)
class TestReviews:
    """What is known of each test review beside what networks say of it."""

    __test__ = False  # not one of pytest's

    labels: NDArray[np.int8]
    """<int8>[test reviews]"""
    rows: NDArray[np.int64] | None = None
    """<int64>[test reviews], each one's place in its file or folder, from 1; None in runs of older versions."""
    ids: list[str | None] | None = None
    """What the user knows each by; None where nothing was named."""


Predictions = dict[tuple[str, int], NDArray[np.float32]]
"""By architecture and seed: <float32>[test reviews]."""


def lines(test: TestReviews, trainings: Iterable[tuple[str, int, NDArray[np.float32]]]) -> Iterator[bytes]:
    """The file in pieces.

    Args:
        trainings: Architecture, seed and probabilities, <float32>[test reviews]; empty ones are left out.
    """
    more = {"row": test.rows is not None, "id": test.ids is not None}
    yield (",".join([*_HEADER, *(name for name, is_there in more.items() if is_there)]) + "\n").encode()
    starts = [f",{number},{label}," for number, label in enumerate(test.labels.tolist())]
    ends = [""] * len(starts) if test.rows is None else [f",{row}" for row in test.rows.tolist()]
    if test.ids is not None:
        ends = [f"{end},{_quoted(each)}" for end, each in zip(ends, test.ids, strict=True)]
    for architecture, seed, probabilities in trainings:
        if len(probabilities):
            # The shortest text that reads back as the same float32.
            texts = zip(starts, probabilities.astype(str).tolist(), ends, strict=True)
            yield "".join(f"{architecture},{seed}{start}{text}{end}\n" for start, text, end in texts).encode()


def _quoted(text: str | None) -> str:
    """A cell of a CSV file (RFC 4180), quoted always, so that an empty text is another one than none."""
    return "" if text is None else '"' + to_cell(text).replace('"', '""') + '"'


def read(path: Path) -> Predictions:
    """The probabilities; the file has been validated."""
    from pyarrow import csv, dictionary, float32, int32, string

    types = {"architecture": dictionary(int32(), string()), "seed": int32(), "probability": float32()}
    options = csv.ConvertOptions(column_types=types, include_columns=list(types))
    collected: dict[tuple[str, int], list[NDArray[np.float32]]] = {}
    with csv.open_csv(path, parse_options=_parsing(), convert_options=options) as reader:
        for batch in reader:
            names: Any = batch["architecture"]
            kinds, seeds = names.indices.to_numpy(), batch["seed"].to_numpy()
            values = batch["probability"].to_numpy()
            changes = np.flatnonzero((np.diff(kinds) != 0) | (np.diff(seeds) != 0)) + 1
            bounds = [0, *changes.tolist(), len(values)]
            for first, last in itertools.pairwise(bounds):
                if first < last:
                    key = (names.dictionary[int(kinds[first])].as_py(), int(seeds[first]))
                    collected.setdefault(key, []).append(values[first:last].copy())
    return {key: np.concatenate(parts) for key, parts in collected.items()}


def read_test(path: Path) -> TestReviews:
    """What is known of the test reviews; nothing where every training diverged. The file has been validated."""
    labels: list[int] = []
    rows: list[int] = []
    ids: list[str | None] = []
    # A quoted empty cell is a text and a bare one is none, which Python's reader tells apart from 3.12 on alone.
    from pyarrow import csv, int8, int64, string

    types = {"review": int64(), "label": int8(), "row": int64(), "id": string()}
    names = _columns(path)
    options = csv.ConvertOptions(
        column_types=types,
        include_columns=[name for name in types if name in names],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    with csv.open_csv(path, parse_options=_parsing(), convert_options=options) as reader:
        for batch in reader:
            # The first training's lines: in the second one, numbers begin anew.
            numbers = batch["review"].to_numpy()
            ours = numbers == np.arange(len(labels), len(labels) + len(numbers))
            count = len(ours) if ours.all() else int(np.argmin(ours))
            labels += batch["label"].to_pylist()[:count]
            rows += batch["row"].to_pylist()[:count] if "row" in names else []
            told = batch["id"].to_pylist()[:count] if "id" in names else []
            ids += [None if each is None else of_cell(each) for each in told]
            if count < len(ours):
                break
    return TestReviews(
        labels=np.array(labels, np.int8),
        rows=np.array(rows, np.int64) if "row" in names else None,
        ids=ids if "id" in names else None,
    )


def _columns(path: Path) -> list[str]:
    with path.open("rb") as stream:
        return stream.readline().decode().strip().split(",")


def _parsing() -> Any:
    from pyarrow import csv

    # What a user calls a review by may hold anything.
    return csv.ParseOptions(newlines_in_values=True)
