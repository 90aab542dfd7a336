"""Snapshots: whole, or known to be damaged."""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from job.errors import JobError
from job.files import atomic
from job.output.checkpoints import Checkpoints, Snapshot, Store
from job.output.folder import Output


def make(folder: Path) -> Checkpoints:
    return Checkpoints(store(folder / "checkpoints"), "rnn-0")


def store(folder: Path, run: str = "run") -> Store:
    return Store(folder, run, lambda: None)


def snapshot(number: int) -> Snapshot:
    return Snapshot({"number": number}, {"array": np.full(3, number, np.float32)})


def numbers(folder: Path) -> list[int]:
    return sorted(int(path.name.split("step")[1][:10]) for path in (folder / "checkpoints").iterdir())


def test_the_last_two_are_kept_and_the_last_is_loaded(tmp_path: Path) -> None:
    kept = make(tmp_path)
    assert kept.load() is None
    for step in (1, 2, 10, 9_999_999_999):
        kept.save(step, snapshot(step))
    assert numbers(tmp_path) == [10, 9_999_999_999]
    loaded = kept.load()
    assert loaded is not None
    assert loaded.values == {"number": 9_999_999_999}
    kept.clear()
    assert kept.load() is None


def test_seeds_whose_numbers_begin_alike_do_not_share_snapshots(tmp_path: Path) -> None:
    first, eleventh = (Checkpoints(store(tmp_path), f"rnn-{seed}") for seed in (1, 11))
    eleventh.save(1, snapshot(1))
    assert first.load() is None
    first.clear()
    assert eleventh.load() is not None


def test_what_claims_to_be_later_and_is_damaged_costs_no_later_snapshot(tmp_path: Path) -> None:
    kept = make(tmp_path)
    for step in (100, 200):
        kept.save(step, snapshot(step))
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(b"")
    assert kept.load() is None
    # It begins anew, and is stopped.
    kept.save(50, snapshot(50))
    assert numbers(tmp_path) == [50]
    loaded = make(tmp_path).load()
    assert loaded is not None
    assert loaded.values == {"number": 50}


def test_a_snapshot_of_another_run_or_another_training_is_not_taken_for_this_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path).save(5, snapshot(5))
    (path,) = (tmp_path / "checkpoints").iterdir()
    assert Checkpoints(store(tmp_path / "checkpoints", "another"), "rnn-0").load() is None
    path.rename(path.with_name(path.name.replace("rnn-0", "rnn-1")))
    assert Checkpoints(store(tmp_path / "checkpoints"), "rnn-1").load() is None
    assert [said.count("it is of another training, or of another run") for said in caplog.messages] == [1, 1]


def test_a_snapshot_of_an_earlier_version_does_not_say_whose_it_is_and_is_used(tmp_path: Path) -> None:
    from safetensors.numpy import save

    content = save({"array": np.zeros(3, np.float32)}, {"values": '{"number": 5}'})
    name = f"rnn-0-step0000000005-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    atomic.write(tmp_path / "checkpoints" / name, content)
    loaded = make(tmp_path).load()
    assert loaded is not None
    assert loaded.values == {"number": 5}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["a FIFO", "a folder", "a link"])
def test_what_is_no_file_is_passed_over(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = make(tmp_path)
    kept.save(1, snapshot(1))
    kept.save(2, snapshot(2))
    last = max((tmp_path / "checkpoints").iterdir())
    last.rename(tmp_path / last.name)
    if kind == "a FIFO":
        os.mkfifo(last)
    elif kind == "a folder":
        last.mkdir()
    else:
        last.symlink_to(tmp_path / last.name)
    loaded = kept.load()
    assert loaded is not None
    assert loaded.values == {"number": 1}
    (warning,) = caplog.messages
    assert f"{last} is damaged and not used" in warning
    kept.save(3, snapshot(3))
    assert numbers(tmp_path) == [2, 3]
    kept.clear()
    assert (tmp_path / last.name).exists()


def test_values_of_another_shape_are_no_result(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, values in (
        ("rnn-0-result", {}),
        ("lstm-0-result", {"record": {"seed": "x"}}),
        ("baseline-0-result", {"record": []}),
    ):
        store(tmp_path / "checkpoints").save(name, Snapshot(values, {"probabilities": np.zeros(3, np.float32)}))
    store(tmp_path / "checkpoints").save("guesses", Snapshot({}, {}))
    output = Output(tmp_path)
    output._run = "run"
    assert [output.load_result("rnn", 0), output.load_result("lstm", 0), output.load_baseline()] == [None, None, None]
    assert output.load_array("guesses") is None
    assert [said.count("is damaged and not used") for said in caplog.messages] == [1, 1, 1, 1]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "append", "not safetensors"])
def test_a_damaged_one_is_recognised_and_the_one_before_is_used(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = make(tmp_path)
    kept.save(1, snapshot(1))
    kept.save(2, snapshot(2))
    last = max((tmp_path / "checkpoints").iterdir())
    content = last.read_bytes()
    last.write_bytes(
        {
            "flip": bytes([*content[:-1], content[-1] ^ 1]),
            "cut": content[:-1],
            "empty": b"",
            "append": content + b"x",
            "not safetensors": b"hello",
        }[damage]
    )
    loaded = kept.load()
    assert loaded is not None
    assert loaded.values == {"number": 1}
    (warning,) = caplog.messages
    assert f"{last} is damaged and not used" in warning


def test_a_hash_that_fits_something_that_is_no_snapshot_is_refused_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for content in (b"hello", (2).to_bytes(8, "little") + b"{}"):
        name = f"rnn-0-step0000000001-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
        atomic.write(tmp_path / "checkpoints" / name, content)
    assert make(tmp_path).load() is None
    assert len(caplog.messages) == 2


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrays=st.dictionaries(
        st.from_regex(r"[a-z]{1,8}-\d{3}", fullmatch=True),
        hnp.arrays(
            st.sampled_from([np.float32, np.float64, np.int32, np.int64, np.float16]),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        max_size=4,
    ),
    values=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
)
def test_what_is_saved_comes_back_to_the_bit(arrays: dict[str, Any], values: Any, tmp_path: Path) -> None:
    for path in tmp_path.iterdir():
        path.unlink()
    store(tmp_path).save("x", Snapshot({"values": values}, arrays))
    loaded = store(tmp_path).load("x", lambda found: found)
    assert loaded is not None
    assert loaded.values == {"values": values}
    assert loaded.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (loaded.arrays[name].dtype, loaded.arrays[name].shape) == (array.dtype, array.shape)
        assert loaded.arrays[name].tobytes() == array.tobytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_is_taken_for_a_snapshot(data: st.DataObject, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in tmp_path.iterdir():
        path.unlink()
    store(tmp_path).save("x", snapshot(5))
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    damaged = content[:place] + data.draw(st.binary(max_size=9)) + content[place + data.draw(st.integers(0, 9)) :]
    path.write_bytes(damaged)
    caplog.clear()
    loaded = store(tmp_path).load("x", lambda found: found)
    assert (loaded is None) == (damaged != content)
    assert len(caplog.messages) == (damaged != content)


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, 74), (errno.EDQUOT, 74), (errno.EIO, 74), (errno.ENOENT, 74), (errno.EROFS, 73), (errno.EACCES, 73), (errno.EPERM, 73)],
)  # fmt: skip
@pytest.mark.parametrize("operation", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_file_as_it_was(
    operation: str, number: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    atomic.write(path, b"before")

    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, operation, fail)
    with pytest.raises(JobError) as caught:
        atomic.write(path, b"after")
    assert caught.value.exit_code == code
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_committed_whole_in_the_place_of_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_bytes(b"")
    unfinished = atomic.temporary(tmp_path / "model")
    (unfinished / "below").mkdir(parents=True)
    (unfinished / "below" / "new").write_bytes(b"new")
    atomic.commit(unfinished, tmp_path / "model")
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
        "model",
        "model/below",
        "model/below/new",
    ]


def test_what_a_kill_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "rnn").mkdir()
    atomic.temporary(tmp_path / "rnn" / "model.keras").mkdir()
    atomic.temporary(tmp_path / "run.json").write_bytes(b"half")
    (tmp_path / ".mine").write_bytes(b"")
    (tmp_path / "mine.tmp").write_bytes(b"")
    atomic.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".mine", "mine.tmp", "rnn"]
