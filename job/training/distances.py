"""One training of the preset dependency: an architecture and a seed over all distances, a network for each, and the remedies'.

Its entry in metrics.json is that of any training, its scores means over distances; under `trainings` are the single ones.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores as evaluation
from job.config import CLUES, Configuration
from job.data.corpus import Corpus
from job.data.reviews import split
from job.output.folder import Result
from job.presets import Architecture, Hyperparameters
from job.training import baseline as linear

Train = Callable[[str, Architecture, int, Hyperparameters, Corpus], Result]
"""From a training's name, architecture, seed, hyperparameters and reviews to its result."""


def sections(corpus: Corpus, distances: tuple[int, ...]) -> list[Corpus]:
    """The reviews of each distance; all have the same number."""
    count = len(corpus.labels) // len(distances)
    return [corpus.section(place * count, (place + 1) * count) for place in range(len(distances))]


def train(architecture: Architecture, seed: int, configuration: Configuration, corpus: Corpus, train_one: Train) -> Result:
    """Trains the plain network at every distance, then those with a remedy."""
    parts = list(zip(configuration.source.distances, sections(corpus, configuration.source.distances), strict=True))
    networks = {None: configuration.hyperparameters[architecture]} | configuration.remedies[architecture]
    made: dict[str | None, list[Result]] = {remedy: [] for remedy in networks}
    trainings: list[dict[str, Any]] = []
    history: list[dict[str, Any]] = []
    for remedy, values in networks.items():
        for distance, reviews in parts:
            name = f"{architecture}{f' ({remedy})' if remedy else ''}, distance {distance}"
            # Buffers as long as these reviews need, not as the longest distance's.
            fitted = replace(values, max_tokens=min(values.max_tokens, distance + CLUES))
            result = train_one(name, architecture, seed, fitted, reviews)
            made[remedy].append(result)
            where = {"distance": distance, "remedy": remedy}
            trainings.append(where | result.record | {"steps_until_learned": _steps_until_learned(result, values)})
            history += [{"seed": row["seed"]} | where | row for row in result.history]
    plain = made[None]
    kept = next((each for each in reversed(plain) if _has_learned(each, networks[None])), plain[0])
    diverged = next((each.record["diverged"] for each in plain if each.record["diverged"]), None)
    probabilities = np.concatenate([each.probabilities for each in plain]) if not diverged else np.empty(0, np.float32)
    labels = np.concatenate([reviews.labels[reviews.part("test")] for _, reviews in parts])
    record = _joined([each.record for each in plain]) | {
        "status": "diverged" if diverged else "finished",
        "diverged": diverged,
        "best_epoch": kept.record["best_epoch"],
        "calibration": None if diverged else evaluation.calibration(labels, probabilities),
        "model_distance": configuration.source.distances[plain.index(kept)],
        "trainings": trainings,
    }
    return Result(record, history, probabilities, None if diverged else kept.weights)


def _has_learned(result: Result, values: Hyperparameters) -> bool:
    return _steps_until_learned(result, values) is not None


def _steps_until_learned(result: Result, values: Hyperparameters) -> int | None:
    """Steps after which the network was looked at and had learned; None where it never had."""
    last = result.history[-1]["validation_accuracy"] if result.history and not result.record["diverged"] else None
    return int(result.record["steps"]) if last is not None and last >= values.learned_accuracy else None


def _joined(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The trainings at all distances as one: sums of what adds up, means of scores."""
    joined: dict[str, Any] = {key: records[0][key] for key in ("seed", "parameters", "device", "kernel")}
    for key in ("epochs", "steps", "train_reviews", "validation_reviews", "test_reviews", "seconds"):
        joined[key] = sum(record[key] for record in records)
    for key in ("train", "validation", "test", "last_epoch"):
        entries = [record[key] for record in records]
        joined[key] = None if None in entries else {each: float(np.mean([one[each] for one in entries])) for each in entries[0]}
    joined["continued"] = [each for record in records for each in record["continued"]]
    tokens = sum(record["tokens_per_second"] * record["seconds"] for record in records)
    joined["tokens_per_second"] = tokens / joined["seconds"] if joined["seconds"] else 0.0
    return joined


def baseline(
    corpus: Corpus, distances: tuple[int, ...], values: Hyperparameters, look: Callable[[str], None]
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """What `baseline.run` gives, trained and scored at each distance: means over distances, and each one's scores."""
    records, probabilities = [], []
    for distance, reviews in zip(distances, sections(corpus, distances), strict=True):
        parts = split(reviews, values)
        record, predicted = linear.run(parts.train, parts.test, values.validation_share, look)
        records.append({"distance": distance} | record)
        probabilities.append(predicted)
    joined = {key: sum(record[key] for record in records) for key in ("features", "train_reviews", "seconds")}
    scores = {key: float(np.mean([record["test"][key] for record in records])) for key in records[0]["test"]}
    trainings = [{key: record[key] for key in ("distance", "features", "test")} for record in records]
    return {"name": linear.NAME} | joined | {"test": scores, "trainings": trainings}, np.concatenate(probabilities)
