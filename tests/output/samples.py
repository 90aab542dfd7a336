"""A finished run that nothing was trained for: its files are those of a real one, and no TensorFlow is needed to make them."""

import json
from pathlib import Path

import numpy as np

from job.analysis import scores
from job.files import checksum
from job.output import finished
from job.output.finished import FinishedRun
from job.output.folder import Output, to_npy
from job.output.predictions import TestReviews
from job.output.results import LinearWeights, TrialResult, Trials
from job.presets import PRESETS, Architecture, PresetName
from job.records.base import to_json
from job.records.data import Reading
from job.records.history import Epoch, HistoryRow
from job.records.metrics import DataRecord, DeviceRecord
from job.records.run import Examples, Host, Identity, Plan, PlannedTrial, RunRecord, Start
from tests.output.test_ensemble import LABELS, baseline, said
from tests.output.test_folder import EPOCH, record

DEVICE = DeviceRecord(type="cpu", name="a processor", cores=2, compute_capability=None, memory_bytes=None, driver=None, cuda=None, cudnn=None, tf32=False, slow_kernels={})  # fmt: skip
WORDS = ["good", "bad", "film"]
LINEAR = LinearWeights(
    bias=np.zeros(1, np.float32), words=np.array([0, 0, 0, 0, 2, -2, 0], np.float32), bigrams=np.empty(0, np.int64),
    bigram_weights=np.empty(0, np.float32), vocabulary_size=np.array([7]),
)  # fmt: skip
IDENTITY = Identity(preset=PresetName.quickstart, data="0" * 64, hyperparameters=dict(PRESETS[PresetName.quickstart].networks))
_SECOND = "2024-01-01T00:00:00+00:00"


def of_run(folder: Path, shard: tuple[int, int] | None = None, seeds: int = 1) -> RunRecord:
    """run.json, as it is before the results are there."""
    networks = IDENTITY.hyperparameters
    plan = Plan(
        preset=IDENTITY.preset, data="reviews.csv", text_column=None, label_column=None, distances=None, device="cpu",
        require_fast_kernel=False, output=str(folder), cache="cache", hyperparameters=networks, remedies={}, seeds=seeds,
        shard="{}/{}".format(*shard) if shard else None,
        trainings=[PlannedTrial(architecture=name, seed=seed) for name in networks for seed in range(seeds)],
    )  # fmt: skip
    host = Host(name="here", system="Linux", processor="a processor", cores=2, memory_bytes=None)
    return RunRecord(
        version="0", state="training", identity=IDENTITY, fingerprint="0" * 64, configuration=plan, device=DEVICE,
        versions={"python": "3", "tensorflow": "2"}, source_revision=None, seeds=seeds, shard=shard, test_set_looks=[],
        files=None, start=_SECOND, starts=[Start(at=_SECOND, host=host)],
    )  # fmt: skip


def write_run(folder: Path, shard: tuple[int, int] | None = None, seed: int = 0, seeds: int = 1) -> Path:
    """A finished run of one seed of each network, with the baseline's model and no network's.

    Args:
        shard: Which one of how many it is, where it is one.
        seeds: How many the whole job has.
    """
    reading = Reading(rows=1200, left_out={}, columns={"text": "text"}, labels=[], label_rule="by name", notices=[], warnings=[], near_copies=None)  # fmt: skip
    data = DataRecord(name="reviews.csv", sha256="0" * 64, train_reviews=400, validation_reviews=400, test_reviews=400, vocabulary=len(WORDS), own_test_part=False, reading=reading)  # fmt: skip
    trials, rows = Trials(), np.arange(1, 401)
    for number, name in enumerate(Architecture):
        told = record(seed).but(test=scores.score(LABELS, np.log(said(number) / (1 - said(number)))), test_reviews=400)
        history = [HistoryRow(seed=seed, epoch=Epoch(**vars(EPOCH)))]
        trials.add(name, TrialResult(told, history, said(number), None, None, said(10 + number)))
    examples = Examples(lengths=[9] * 400, most_wrong={name: [0] for name in Architecture}, disagreements=[1], texts={"0": "bad", "1": "good"})  # fmt: skip
    test = TestReviews(labels=LABELS, rows=rows)
    run = FinishedRun.of_results(
        folder, of_run(folder, shard, seeds), data, trials, baseline(said(30), said(130)), test, TestReviews(labels=LABELS, rows=rows), examples
    )  # fmt: skip
    output = Output(folder)
    output.prepare()
    files = {
        "baseline/model.safetensors": LINEAR.to_safetensors(),
        finished.VOCABULARY: to_json(WORDS),
        finished.TRAINING_HASHES: to_npy(np.arange(800, dtype=np.uint64)),
        finished.REPORT: b"<!doctype html>",
    }
    output.publish(run, files)
    return folder


def rehash(folder: Path) -> None:
    """Makes run.json say of every file what it is now: who gives away a run can make it fit."""
    path = folder / finished.RECORD
    told = json.loads(path.read_text())
    told["files"] = {name: checksum.of_file(folder / name) for name in told["files"] if (folder / name).is_file()}
    path.write_text(json.dumps(told))
