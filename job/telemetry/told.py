"""What a server that keeps track of experiments is told of a run, in its words."""

import math
import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime

from job.files import checksum
from job.machine import signals
from job.output.best import best_model
from job.output.finished import METRICS, FinishedRun, VerifiedRun
from job.output.outbox import Item
from job.presets import Hyperparameters
from job.records.history import Epoch, training_name
from job.records.run import RunRecord
from job.records.trials import Scores
from job.training.desk import Label

# MLflow takes no longer value of a parameter; older servers take less.
_PARAM_CHARACTERS, _TAG_CHARACTERS = 500, 5000


def now() -> int:
    """This moment, Unix milliseconds."""
    return round(1000 * time.time())


def of_beginning(record: RunRecord) -> Iterator[Item]:
    """Of a run: what determines it, which never changes, as parameters; what may, as tags."""
    at, identity = _milliseconds(record.start), record.identity
    params = {"preset": identity.preset, "data": record.configuration.data, "threshold": identity.threshold}
    if identity.distances:
        params["distances"] = " ".join(map(str, identity.distances))
    for name, values in identity.hyperparameters.items():
        params |= _values(str(name), values)
    for name, remedies in identity.remedies.items():
        for remedy, values in remedies.items():
            params |= _values(f"{name}.{_word(remedy)}", values)
    for name, values in identity.teachers.items():
        params |= _values(f"teacher.{name}", values)
    for key, value in params.items():
        yield Item(kind="param", key=key, value=str(value)[:_PARAM_CHARACTERS], time=at)
    revision = record.source_revision
    tags = {
        "data_sha256": identity.data,
        "fingerprint": record.fingerprint,
        "version": record.version,
        "source_revision": revision,
        "device": f"{record.device.type}: {record.device.name}",
        "seeds": record.seeds,
        "shard": f"{record.shard[0]}/{record.shard[1]}" if record.shard else None,
        "mlflow.source.name": "sentiment-job",
        "mlflow.source.type": "JOB",
        "mlflow.source.git.commit": None if revision and revision.endswith("-dirty") else revision,
    }
    yield from (_tag(key, value, at) for key, value in tags.items() if value is not None)


def of_epoch(label: Label, epoch: Epoch, at: int) -> Iterator[Item]:
    """Of an epoch its figures; the step is the epoch."""
    where = _word(label.name) if label.seed is None else f"{_word(label.name)}/{label.seed}"
    for name, value in asdict(epoch).items():
        if name != "epoch":
            yield from _metric(f"{where}/{name}", value, epoch.epoch, at)


def of_history(run: FinishedRun) -> Iterator[Item]:
    """Of a finished run all its epochs; those that were told of before are the same."""
    for name, result in run.trials:
        for row in result.history:
            label = Label(training_name(name, row.distance, row.remedy), row.seed)
            yield from of_epoch(label, row.epoch, _milliseconds(run.record.end))


def of_end(run: VerifiedRun) -> Iterator[Item]:
    """Of a finished run: scores, the verdict, and that its files may be sent.

    What is over all seeds has their number as its step, as seeds may be added.
    """
    at, metrics, seeds = now(), run.metrics, run.record.seeds
    for name, entry in metrics.architectures.items():
        for trial in entry.runs:
            for part in ("train", "validation", "test"):
                yield from _scores(f"{name}/{trial.seed}/{part}", getattr(trial, part), trial.epochs, at)
        mean = entry.summary.test_accuracy
        yield from _metric(f"{name}/test/accuracy_mean", mean.mean, seeds, at)
        yield from _metric(f"{name}/test/accuracy_sd", mean.sd, seeds, at)
    yield from _scores("baseline/test", metrics.baseline.test, seeds, at)
    if metrics.ensemble:
        yield from _scores("ensemble/validation", metrics.ensemble.validation, seeds, at)
        yield from _scores("ensemble/test", metrics.ensemble.test, seeds, at)
    yield _tag("verdict", metrics.verdict, at)
    # What MLflow shows as the run's description.
    yield _tag("mlflow.note.content", metrics.verdict, at)
    names = run.models()
    # A shard may hold nothing but trainings that diverged.
    model = best_model(metrics, names) if any(name.is_network for name in names) else ""
    yield _tag("model", model or "none", at)
    yield Item(kind="files", key=checksum.of_file(run.folder / METRICS), value=str(model), time=at)
    yield from of_exit(0)


def of_exit(code: int) -> Iterator[Item]:
    """Of the process's end."""
    status = "FINISHED" if code == 0 else "KILLED" if code in signals.EXIT_CODES.values() else "FAILED"
    yield _tag("exit_code", code, now())
    yield Item(kind="status", value=status, time=now())


def of_start() -> Item:
    """Of a process that begins, or goes on with, the run."""
    return Item(kind="status", value="RUNNING", time=now())


def _values(prefix: str, values: Hyperparameters) -> dict[str, str]:
    return {f"{prefix}.{key}": str(value) for key, value in asdict(values).items()}


def _scores(prefix: str, scores: Scores | None, step: int, at: int) -> Iterator[Item]:
    for name, value in (scores.to_values() if scores else {}).items():
        yield from _metric(f"{prefix}/{name}", value, step, at)


def _metric(key: str, value: float | None, step: int, at: int) -> Iterator[Item]:
    # Of a training that diverged, there is no number to draw.
    if value is not None and math.isfinite(value):
        yield Item(kind="metric", key=key, value=float(value), step=step, time=at)


def _tag(key: str, value: object, at: int) -> Item:
    return Item(kind="tag", key=key, value=str(value)[:_TAG_CHARACTERS], time=at)


def _word(text: str) -> str:
    """In the characters that MLflow takes in a name."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-")


def _milliseconds(at: str | None) -> int:
    return round(1000 * datetime.fromisoformat(at).timestamp()) if at else now()
