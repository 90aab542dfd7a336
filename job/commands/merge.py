"""Joins the shards of a job into the run that they would have been without sharding."""

import logging
import math
import time
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from job.commands.models import Models, tables, vocabulary
from job.commands.publishing import Publishing, cards, pages
from job.config import DeviceChoice, fingerprint, shard_folder
from job.errors import ConfigurationError, DataError, MissingInputError, TemporaryError
from job.files import reading
from job.machine import device
from job.output import existing, finished
from job.output.finished import FinishedRun
from job.output.folder import EVENTS, WORD_INDEX, Content, Output
from job.output.results import Trials
from job.presets import ModelName
from job.records.metrics import DeviceRecord, Metrics
from job.records.run import PlannedTrial, RunRecord, ShardRecord
from job.report import examples
from job.training.team import Alone

log = logging.getLogger(__name__)
_POLL_SECONDS = 1.0
# The ensemble's export is asked about so many texts, which together hold every word.
_APART = 20


def merge(places: list[Path], folder: Path, wait: float) -> Metrics:
    """Joins shards, in whatever order, into a run in `folder`; returns the content of its metrics.json.

    Args:
        places: The shards' folders, or folders that hold shards under shards/.
        wait: Seconds to wait for shards that are missing or unfinished, from when the first one has begun. Until then it
            waits without an end; 0 does not wait at all.

    Raises:
        MissingInputError: Shards are missing, and there was no waiting for them.
        TemporaryError: They are still missing after the waiting.
        ConfigurationError: They do not belong together, or `folder` holds another run.
        DataError: A shard's file is missing or was changed.
        DivergedError: Every trial of an architecture diverged.
        OutputError, InputOutputError: `folder` cannot be written.
    """
    shards = _complete(places, wait)
    output = Output(folder)
    output.prepare()
    with output.locked():
        output.sweep()
        there = existing.find(folder, shards[0].record.identity, lambda: existing.free_folder(folder, "merged"))
        trials = Trials()
        for shard in shards:
            for architecture, result in shard.trials:
                trials.add(architecture, result)
        if there is not None and there.holds((name, result.record.seed) for name, result in trials):
            log.info(f"{folder} already holds this run, finished; nothing to do")
            return there.metrics
        trials.require_finished()
        devices = {shard.metrics.device.to_json() for shard in shards}
        if len({shard.teaching.guesses_sha256 for shard in shards if shard.teaching}) > 1:
            log.warning(
                "the shards' teachers guessed differently, as on different hardware, so the joined run is not what one of them would have made, to the bit"
            )
        if len(devices) > 1:
            log.warning(
                f"the shards ran on {len(devices)} kinds of device, so the joined run is not what one of them would have made, to the bit"
            )
        return _publish(output, shards, trials)


def _complete(places: list[Path], wait: float) -> list[FinishedRun]:
    """Every shard of a job, in order, once all are finished."""
    # A queue may hold the shards back for days before there is anything to wait for, so time counts once one has begun.
    deadline: float | None = None
    said: tuple[bool, str] | None = None
    # What was read and found whole once is not read again at the next look.
    shards: dict[Path, FinishedRun] = {}
    while True:
        folders = _folders(places)
        for folder in folders:
            if folder not in shards and _is_finished(folder):
                shards[folder] = _read(folder)
                _belong_together(list(shards.values()))
        missing = _missing(places, folders, shards)
        if not missing:
            return sorted(shards.values(), key=lambda shard: _number(shard)[0])
        text = f"missing or unfinished: {', '.join(missing)}"
        if not wait:
            raise MissingInputError(f"{text}; run them (train --shard) or wait for them (--wait SECONDS)")
        if deadline is None and any(map(_has_begun, folders)):
            deadline = time.monotonic() + wait
        left = math.inf if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise TemporaryError(f"after {wait:g} s of waiting {text}; run again when they are finished")
        if (deadline is None, text) != said:
            log.info(f"{_patience(left, wait)}; {text}")
            said = deadline is None, text
        time.sleep(min(_POLL_SECONDS, left))


def _readable(folder: Path) -> AbstractContextManager[None]:
    return reading.explained(folder, "a shard's folder that this user may read")


def _is_finished(folder: Path) -> bool:
    with _readable(folder):
        return Output(folder).is_finished()


def _has_begun(folder: Path) -> bool:
    with _readable(folder):
        return Output(folder).has_begun()


def _patience(left: float, wait: float) -> str:
    if left < math.inf:
        return f"waiting up to {left:.0f} s"
    return f"waiting for the first shard to begin, however long that takes, and up to {wait:g} s from then"


def _read(folder: Path) -> FinishedRun:
    shard = FinishedRun.read(folder)
    if shard.record.shard is None:
        raise ConfigurationError(f"{folder}: is a whole run and no shard of one; name the folders that --shard made")
    return shard


def _number(shard: FinishedRun) -> tuple[int, int]:
    """Which shard it is, and of how many."""
    assert shard.record.shard is not None
    return shard.record.shard


def _missing(places: list[Path], folders: list[Path], shards: dict[Path, FinishedRun]) -> list[str]:
    """The shards that are not finished, by name."""
    missing = [str(folder) for folder in folders if folder not in shards]
    if shards:
        numbers = [_number(shard) for shard in shards.values()]
        have, count = {index for index, _ in numbers}, numbers[0][1]
        named = {folder.name for folder in folders}
        lost = [shard_folder(Path(), index, count).name for index in range(count) if index not in have]
        return missing + [f"shard {name}" for name in lost if name not in named]
    return missing or [f"every shard (nothing is in {', '.join(map(str, places))})"]


def _folders(places: list[Path]) -> list[Path]:
    found: list[Path] = []
    for place in places:
        with _readable(place):
            there = (place / "shards").iterdir() if (place / "shards").is_dir() else ()
            inside = sorted(each for each in there if "-of-" in each.name)
            # A run's own folder stands for its shards; another one is a shard, there or still to come.
            is_run = inside or not (place.parent.name == "shards" or (place / "run.json").exists())
        found += inside if is_run else [place]
    return list(dict.fromkeys(found))


def _belong_together(shards: list[FinishedRun]) -> None:
    """Makes sure that the last one belongs to those before it."""
    *others, last = shards
    (index, count), seeds = _number(last), last.record.seeds
    for other in others:
        (other_index, other_count), other_seeds = _number(other), other.record.seeds
        if last.record.identity != other.record.identity:
            what = existing.difference(other.record.identity, last.record.identity)
        elif (count, seeds) != (other_count, other_seeds):
            what = f"{other_count} shards of {other_seeds} seeds, and {count} of {seeds}"
        elif index == other_index:
            what = f"both are shard {index} of {count}"
        else:
            continue
        raise ConfigurationError(f"{other.folder} and {last.folder} do not belong together: {what}")


def _publish(output: Output, shards: list[FinishedRun], trials: Trials) -> Metrics:
    first, record = shards[0], _record(output, shards, trials)
    chosen = examples.choose_among([shard.examples for shard in shards], first.labels, trials)
    run = FinishedRun.of_results(
        output.folder,
        record,
        first.metrics.data,
        trials,
        first.baseline,
        first.test,
        first.validation,
        chosen,
        first.teaching,
    )
    files = _models(shards, trials) | pages(run)
    files[EVENTS] = partial(_events, shards)
    for name in (finished.VOCABULARY, WORD_INDEX, finished.TRAINING_HASHES, finished.EVIDENCE):
        if first.has(name):
            with first.reading(name) as path:
                files[name] = reading.content(path)
    output.write_record(record)
    words = first.words()
    asked = [" ".join(words[place::_APART]) for place in range(min(_APART, len(words)))]
    cpu = device.select(DeviceChoice.cpu, False)
    with output.scratch() as scratch, Publishing(Alone(cpu), output.folder, scratch, asked) as publishing:
        _export_ensemble(publishing, run, first, cpu)
        publishing.finish()
        files |= publishing.files
        output.publish(run, files | cards(run, files))
    return run.metrics


def _record(output: Output, shards: list[FinishedRun], trials: Trials) -> RunRecord:
    first = shards[0].record
    plan = first.configuration.but(
        output=str(output.folder),
        shard=None,
        trainings=[PlannedTrial(architecture=name, seed=result.record.seed) for name, result in trials],
    )
    return first.but(
        state="merging",
        fingerprint=fingerprint(first.identity),
        configuration=plan,
        shard=None,
        shards=[
            ShardRecord(shard=_number(shard), device=shard.metrics.device, versions=shard.record.versions) for shard in shards
        ],
        test_set_looks=[look for shard in shards for look in shard.record.test_set_looks],
        start=min((shard.record.start for shard in shards if shard.record.start), default=None),
        starts=sorted((each for shard in shards for each in shard.record.starts), key=lambda each: each.at),
        files=None,
    )


def _models(shards: list[FinishedRun], trials: Trials) -> dict[str, Content]:
    """The best seeds' models, from the shards that trained them, and the baseline."""
    files: dict[str, Content] = {}
    for name in trials.architectures:
        best = trials.best(name)
        assert best is not None
        source = next(shard for shard in shards if shard.trials.holds(name, best.record.seed))
        files |= _model(source, ModelName(name))
    # That of every shard is the same.
    return files | (_model(shards[0], ModelName.baseline) if ModelName.baseline in shards[0].models() else {})


def _export_ensemble(publishing: Publishing, run: FinishedRun, shard: FinishedRun, cpu: DeviceRecord) -> None:
    """What all shards' models say together; a shard's own ensemble is of its part alone."""
    linear = shard.linear_weights()
    if run.ensemble is None or linear is None:
        return
    models = Models(run.record.identity.hyperparameters, vocabulary(shard), tables(shard), cpu)
    make = partial(models.ensemble, run.ensemble.record, run.trials.weights(), linear)
    publishing.export(ModelName.ensemble, make, run.trials.weights_to_safetensors())


def _model(shard: FinishedRun, name: ModelName) -> dict[str, Content]:
    files = (f"{name}/{finished.model_file(name)}", f"{name}/{finished.SAVED_MODEL}")
    for file in files:
        if not shard.within(file):
            raise DataError(f"{shard.folder / file}: is missing from the run")
    return {file: partial(shard.copy, file) for file in files}


def _events(shards: list[FinishedRun], path: Path) -> None:
    """Copies what TensorBoard shows of all shards into one folder."""
    path.mkdir()
    for shard in shards:
        shard.copy(EVENTS, path)
