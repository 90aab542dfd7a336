"""predictions.csv: every test review's probability, by architecture and seed. Written and read a training at a time."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADER = b"architecture,seed,review,label,probability\n"

Predictions = dict[tuple[str, int], NDArray[np.float32]]
"""By architecture and seed: <float32>[test reviews]."""


def lines(labels: NDArray[np.int8], trainings: Iterable[tuple[str, int, NDArray[np.float32]]]) -> Iterator[bytes]:
    """The file in pieces.

    Args:
        labels: <int8>[test reviews]
        trainings: Architecture, seed and probabilities, <float32>[test reviews]; empty ones are left out.
    """
    yield _HEADER
    rows = [f",{number},{label}," for number, label in enumerate(labels.tolist())]
    for architecture, seed, probabilities in trainings:
        if len(probabilities):
            start = f"{architecture},{seed}"
            # The shortest text that reads back as the same float32.
            texts = zip(rows, probabilities.astype(str).tolist(), strict=True)
            yield "".join(f"{start}{row}{text}\n" for row, text in texts).encode()


def read(path: Path) -> Predictions:
    """The probabilities; the file has been validated."""
    from pyarrow import csv, dictionary, float32, int32, string

    types = {"architecture": dictionary(int32(), string()), "seed": int32(), "probability": float32()}
    options = csv.ConvertOptions(column_types=types, include_columns=list(types))
    collected: dict[tuple[str, int], list[NDArray[np.float32]]] = {}
    with csv.open_csv(path, convert_options=options) as reader:
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


def read_labels(path: Path) -> NDArray[np.int8]:
    """The labels, <int8>[test reviews]; empty where every training diverged. The file has been validated."""
    labels: list[int] = []
    with path.open("rb") as stream:
        next(stream)
        for line in stream:
            _, _, review, label, _ = line.split(b",")
            if int(review) < len(labels):
                break
            labels.append(int(label))
    return np.array(labels, np.int8)
