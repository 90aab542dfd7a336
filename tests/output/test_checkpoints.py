"""Snapshots: whole, or known to be damaged."""

import errno
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
from job.output import checkpoints
from job.output.checkpoints import Checkpoints, Snapshot


def make(folder: Path) -> Checkpoints:
    return Checkpoints(folder / "checkpoints", "rnn-0", lambda: None)


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
    first, eleventh = (Checkpoints(tmp_path, f"rnn-{seed}", lambda: None) for seed in (1, 11))
    eleventh.save(1, snapshot(1))
    assert first.load() is None
    first.clear()
    assert eleventh.load() is not None


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
    import hashlib

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
    checkpoints.save(tmp_path, "x", Snapshot({"values": values}, arrays), lambda: None)
    loaded = checkpoints.load(tmp_path, "x")
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
    checkpoints.save(tmp_path, "x", snapshot(5), lambda: None)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    damaged = content[:place] + data.draw(st.binary(max_size=9)) + content[place + data.draw(st.integers(0, 9)) :]
    path.write_bytes(damaged)
    caplog.clear()
    loaded = checkpoints.load(tmp_path, "x")
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
