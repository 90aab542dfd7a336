"""How many trainings are done side by side, and why."""

import os
from typing import Any

import pytest

from job.config import Request, resolve
from job.errors import ConfigurationError
from job.machine import device as devices
from job.machine import memory, runtime
from job.presets import Architecture, PresetName
from job.training import staffing
from tests.training.test_team import CPU

GIB, LONGEST = 1 << 30, 2500


def choose(monkeypatch: pytest.MonkeyPatch, trainings: int, cores: int, free: float | None, **options: Any) -> staffing.Staff:
    monkeypatch.setattr(runtime, "cores", lambda: cores)
    monkeypatch.setattr(memory, "available", lambda: None if free is None else int(free * GIB))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    return staffing.choose(resolve(Request(preset=PresetName.standard, **options)), CPU, trainings, LONGEST)


def test_the_least_of_trainings_cores_and_memory_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, 10, 4, None).workers == 4
    assert choose(monkeypatch, 3, 64, 100).workers == 3
    assert choose(monkeypatch, 10, 8, 4).workers == 2
    assert choose(monkeypatch, 10, 8, 0.2).workers == 1
    said = choose(monkeypatch, 10, 8, 4).why
    assert said.startswith("2 trainings at a time (10 trainings, 8 cores, 4.0 GiB of free memory, of which each may take 1.")


def test_what_a_user_says_holds_but_for_more_than_there_are_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, 10, 2, 1, workers="3").workers == 3
    assert choose(monkeypatch, 2, 2, 1, workers="3").workers == 2
    assert choose(monkeypatch, 10, 2, 1, workers="1").workers == 1
    assert choose(monkeypatch, 0, 2, 1).workers == 1


def test_cores_are_shared_out_and_bound_where_no_other_job_may_want_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = choose(monkeypatch, 3, 8, None)
    assert (found.workers, found.share, found.cores) == (3, 2, list(range(8)))
    # A quota of two cores on a machine of eight: nobody says which.
    monkeypatch.setattr(runtime, "cores", lambda: 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    configuration = resolve(Request(preset=PresetName.standard))
    assert staffing.choose(configuration, CPU, 4, LONGEST).cores == []


def test_a_gpu_is_shared_by_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "cores", lambda: 16)
    monkeypatch.setattr(memory, "available", lambda: 100 * GIB)
    configuration = resolve(Request(preset=PresetName.standard))
    large, small = (CPU.but(type="gpu", memory_bytes=size * GIB) for size in (80, 8))
    assert staffing.choose(configuration, large, 10, LONGEST).workers == 4
    monkeypatch.setattr(devices, "gpus", lambda: 2)
    assert staffing.choose(configuration, large, 10, LONGEST).workers == 8
    assert "2 GPUs of 80 GiB, at most 4 on a GPU" in staffing.choose(configuration, large, 10, LONGEST).why
    monkeypatch.undo()
    monkeypatch.setattr(runtime, "cores", lambda: 16)
    monkeypatch.setattr(memory, "available", lambda: 100 * GIB)
    assert staffing.choose(configuration, small, 10, LONGEST).workers == 2


def test_a_larger_network_takes_more_memory() -> None:
    presets = resolve(Request(preset=PresetName.standard)).hyperparameters
    rnn, lstm = (staffing._need(name, presets[name], LONGEST) for name in Architecture)
    assert 0.4 * GIB < rnn < lstm < 1.5 * GIB
    # Of short texts, no more is needed than they are long.
    assert staffing._need(Architecture.lstm, presets[Architecture.lstm], 20) < rnn


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_number_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--workers {text}: expected auto, or how many trainings"):
        resolve(Request(workers=text))
