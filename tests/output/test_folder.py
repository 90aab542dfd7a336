import errno
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from job.errors import InputOutputError, OutputError
from job.files import atomic
from job.output.folder import Output
from job.output.results import TrialResult
from job.records import metrics
from job.records.base import to_json
from job.records.history import Epoch, HistoryRow
from job.records.trials import TrialRecord


def test_a_write_replaces_a_file_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    atomic.write(tmp_path / "a" / "file", b"old")
    atomic.write(tmp_path / "a" / "file", b"new")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "a").iterdir()] == [("file", b"new")]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, InputOutputError), (errno.EIO, InputOutputError), (errno.EROFS, OutputError)]
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    call: str, number: int, expected: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic.write(tmp_path / "file", b"old")

    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(expected, match="file"):
        atomic.write(tmp_path / "file", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def record(seed: int) -> TrialRecord:
    none = dict.fromkeys(("diverged", "train", "validation", "test", "calibration", "last_epoch"))
    counts = dict.fromkeys(("epochs", "steps", "best_epoch", "parameters", "seconds", "tokens_per_second"), 1)
    reviews = {f"{part}_reviews": 1 for part in ("train", "validation", "test")}
    values = {"seed": seed, "status": "finished", "device": "cpu", "kernel": "xla", "continued": []}
    return TrialRecord.model_validate(values | none | counts | reviews)


EPOCH = Epoch(epoch=1, loss=0.1, accuracy=0.5, validation_loss=None, validation_accuracy=None, learning_rate=1e-3, seconds=1.0, tokens_per_second=2.0)  # fmt: skip


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    probabilities=arrays.arrays(np.float32, st.integers(0, 9), elements=st.floats(0, 1, width=32)),
    weights=st.none() | st.lists(arrays.arrays(np.float32, st.tuples(st.integers(0, 3), st.integers(1, 3))), max_size=12),
    seed=st.integers(0, 99),
)
def test_a_kept_result_comes_back_as_it_was(probabilities: Any, weights: Any, seed: int, tmp_path: Path) -> None:
    output = Output(tmp_path)
    history = [HistoryRow(seed=seed, epoch=EPOCH)]
    output.save_result("rnn", TrialResult(record(seed), history, probabilities, weights, validation=probabilities[::2]))
    for path in tmp_path.glob(f"checkpoints/rnn-{seed}-*"):
        newest = max(tmp_path.glob(f"checkpoints/rnn-{seed}-*"), key=lambda each: each.stat().st_mtime_ns)
        if path != newest:
            path.unlink()
    result = output.load_result("rnn", seed)
    assert result is not None
    assert (result.record, result.history) == (record(seed), history)
    np.testing.assert_array_equal(result.probabilities, probabilities)
    np.testing.assert_array_equal(result.validation, probabilities[::2])
    assert (result.weights is None) == (weights is None)
    for kept, weight in zip(result.weights or [], weights or [], strict=True):
        np.testing.assert_array_equal(kept, weight)


def test_a_damaged_result_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = Output(tmp_path)
    output.save_result("lstm", TrialResult(record(0), [], np.zeros(3, np.float32), [np.ones(2, np.float32)]))
    (path,) = tmp_path.glob("checkpoints/*")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert output.load_result("lstm", 0) is None
    assert output.load_result("lstm", 1) is None
    (warning,) = caplog.messages
    assert "is damaged and not used (its content is not what its name says)" in warning


def test_discarding_a_run_keeps_what_is_not_the_run_s(tmp_path: Path) -> None:
    for name in (
        "metrics.json",
        "run.json",
        "rnn/model.keras",
        "ensemble/model.safetensors",
        "evidence.safetensors",
        "validation_predictions.csv",
        "checkpoints/x",
        "mine.txt",
    ):
        atomic.write(tmp_path / name, b"")
    Output(tmp_path).discard()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_numbers_that_json_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"loss": float("nan")})


def test_the_schema_that_ships_is_that_of_the_records_and_refuses_what_is_not_in_it() -> None:
    schema = json.loads(metrics.SCHEMA.read_text())
    assert schema == metrics.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema_version": 1}, schema)


@dataclass(frozen=True)
class Told:
    """Of a run.json the hashes alone."""

    files: dict[str, str]
    fingerprint: str = ""

    def but(self, files: dict[str, str]) -> "Told":
        return Told(files)

    def to_json(self) -> bytes:
        return json.dumps({"files": self.files}).encode()


@pytest.mark.parametrize("killed_at", range(1, 8))
def test_a_kill_while_a_file_is_replaced_leaves_a_run_whose_files_are_as_it_says(
    killed_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.html").write_bytes(b"old")
    there = Told({"report.html": hashlib.sha256(b"old").hexdigest()})
    (tmp_path / "run.json").write_bytes(there.to_json())
    left, real = [killed_at], os.fsync

    def die(descriptor: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        real(descriptor)

    monkeypatch.setattr(os, "fsync", die)
    run: Any = SimpleNamespace(record=there)
    try:
        Output(tmp_path).replace(run, "report.html", b"new")
    except KeyboardInterrupt:
        assert killed_at < 7
    else:
        # Three files, each flushed, and the folder with it.
        assert killed_at == 7
        assert (tmp_path / "report.html").read_bytes() == b"new"
    for name, digest in json.loads((tmp_path / "run.json").read_text())["files"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
