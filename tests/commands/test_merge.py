"""A sharded job and the joining of its shards: the run that it would have been in one piece."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job import config
from job.errors import ConfigurationError
from job.presets import Architecture
from scripts.measure.faults.runs import outcome
from tests.conftest import ROOT, SMALL, Command

# Of the same configuration as the finished run that it is compared with.
JOB = ("train", "--preset", "quickstart", "--seeds", "2", *SMALL)


def grid(
    seeds: int, shard: str | None, names: tuple[Architecture, ...] = tuple(Architecture)
) -> list[tuple[Architecture, int]]:
    request = config.Request(cache=Path("c"), data="embedded", architecture=list(names), seeds=seeds, shard=shard)
    return config.resolve(request).trials()


@given(data=st.data())
def test_shards_are_a_partition_of_like_parts_that_stay_when_seeds_are_added(data: st.DataObject) -> None:
    seeds = data.draw(st.integers(1, 12))
    names = data.draw(st.sampled_from([tuple(Architecture), (Architecture.rnn,)]))
    count = data.draw(st.integers(1, seeds * len(names)))
    shards = [grid(seeds, f"{index}/{count}", names) for index in range(count)]
    assert sorted(each for shard in shards for each in shard) == sorted(grid(seeds, None, names))
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    for index, shard in enumerate(shards):
        assert set(shard) <= set(grid(seeds + 3, f"{index}/{count}", names))


def test_the_architectures_are_dealt_out_evenly() -> None:
    assert grid(2, None) == [("rnn", 0), ("rnn", 1), ("lstm", 0), ("lstm", 1)]
    assert grid(2, "0/2") == [("rnn", 0), ("lstm", 1)]
    assert grid(2, "1/2") == [("rnn", 1), ("lstm", 0)]
    assert grid(2, "3/4") == [("rnn", 1)]


@pytest.mark.parametrize("text", ["2/2", "-1/2", "1", "a/b", "1/", "/2", "0/0", "1/2/3", "0/5", " 0/2"])
def test_a_wrong_shard_is_78(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--shard"):
        grid(2, text)


@pytest.fixture(scope="module")
def sharded(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards; one was killed in mid-training and continued."""
    output = tmp_path_factory.mktemp("sharded") / "output"
    cache = output.parent / "cache"
    arguments = [sys.executable, "-m", "job", *JOB, "--output", str(output), "--cache", str(cache), "--shard", "1/2"]
    process = subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if ": epoch 1/2" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for index in (0, 1):
        done = command(*JOB, "--output", output, env={"JOB_SHARD": f"{index}/2"})
        assert done.returncode == 0, done.stderr
        if index == 1:
            assert "continued at epoch" in done.stderr
    assert sorted(path.name for path in (output / "shards").iterdir()) == ["0-of-2", "1-of-2"]
    return output


@pytest.fixture
def copy(sharded: Path, tmp_path: Path) -> Path:
    shutil.copytree(sharded, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_merged_run_is_the_unsharded_one_to_the_bit(command: Command, finished: Path, copy: Path, tmp_path: Path) -> None:
    shards = [copy / "shards" / "1-of-2", copy / "shards" / "0-of-2"]
    for places, output in ((shards, tmp_path / "elsewhere"), ([copy], copy)):
        done = command("merge", *places, "--output", output, env={"JOB_TERMINATION_LOG": str(tmp_path / "log")})
        assert done.returncode == 0, done.stderr
        assert "test accuracy" in done.stdout
        expected, found = outcome(finished), outcome(output)
        found["files"] = [name for name in found["files"] if not name.startswith("shards")]
        assert found == expected
        assert (tmp_path / "log").read_text().startswith("finished: rnn test accuracy")
        assert command("validate", output).returncode == 0
        done = command("merge", *places, "--output", output)
        assert (done.returncode, "finished; nothing to do" in done.stderr) == (0, True)


def test_a_shard_is_a_finished_run_of_its_own(command: Command, sharded: Path) -> None:
    assert command("validate", sharded / "shards" / "0-of-2").returncode == 0
    done = command(*JOB, "--output", sharded, "--shard", "0/2")
    assert (done.returncode, "finished; nothing to do" in done.stderr) == (0, True)


def test_a_missing_shard_is_66_and_named_and_75_after_waiting(command: Command, copy: Path, tmp_path: Path) -> None:
    (copy / "shards" / "0-of-2" / "metrics.json").unlink()
    done = command("merge", copy, "--output", tmp_path / "o")
    assert done.returncode == 66
    assert str(copy / "shards" / "0-of-2") in done.stderr
    shutil.rmtree(copy / "shards" / "0-of-2")
    done = command("merge", copy / "shards" / "1-of-2", "--output", tmp_path / "o")
    assert (done.returncode, "missing or unfinished: shard 0-of-2" in done.stderr) == (66, True)
    done = command("merge", copy, "--output", tmp_path / "o", "--wait", "1")
    assert (done.returncode, "after 1 s of waiting missing or unfinished: shard 0-of-2" in done.stderr) == (75, True)
    done = command("merge", tmp_path / "nothing", "--output", tmp_path / "o")
    assert (done.returncode, "every shard" in done.stderr) == (66, True)
    assert not (tmp_path / "o").exists()


def test_merge_waits_for_what_comes_later(copy: Path, tmp_path: Path, finished: Path) -> None:
    late = copy / "shards" / "0-of-2"
    late.rename(tmp_path / "late")
    arguments = [sys.executable, "-m", "job", "merge", str(copy), "--output", str(tmp_path / "o"), "--wait", "60"]
    process = subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    assert "waiting up to 60 s; missing or unfinished: shard 0-of-2" in process.stderr.readline()
    time.sleep(0.5)
    (tmp_path / "late").rename(late)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert outcome(tmp_path / "o") == outcome(finished)


@pytest.mark.parametrize("begins_with", [".lock", "run.json"])
def test_the_waiting_counts_from_the_first_shard_s_beginning(tmp_path: Path, begins_with: str) -> None:
    shard = tmp_path / "run" / "shards" / "0-of-2"
    shard.mkdir(parents=True)
    arguments = [sys.executable, "-m", "job", "merge", str(tmp_path / "run"), "--output", str(tmp_path / "o"), "--wait", "0.1"]
    process = subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    said = process.stderr.readline()
    assert "waiting for the first shard to begin, however long that takes, and up to 0.1 s from then" in said
    assert str(shard) in said
    # Ten times what is to be waited for once there is something.
    time.sleep(1)
    assert process.poll() is None
    (shard / begins_with).write_text("")
    rest = process.communicate(timeout=60)[1]
    assert (process.returncode, "after 0.1 s of waiting missing or unfinished" in rest) == (75, True), rest


def test_who_waits_for_a_shard_that_never_comes_is_told_so_and_may_stop(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "job", "merge", str(tmp_path / "typo"), "--output", str(tmp_path / "o"), "--wait", "1"]
    process = subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    said = process.stderr.readline()
    assert "waiting for the first shard to begin" in said
    assert f"every shard (nothing is in {tmp_path / 'typo'})" in said
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not (tmp_path / "o").exists()


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_shards_that_do_not_belong_together_are_refused(command: Command, copy: Path, tmp_path: Path) -> None:
    run = copy / "shards" / "1-of-2" / "run.json"
    before = run.read_text()
    identity = json.loads(before)["identity"]
    changed = json.loads(before)["identity"]
    changed["hyperparameters"]["rnn"]["units"] = 9
    for values, message in (
        ({"identity": changed}, "rnn: its units is 8, here 9"),
        ({"identity": identity | {"data": "f" * 64}}, "its data is"),
        ({"seeds": 3}, "2 shards of 2 seeds, and 2 of 3"),
        ({"shard": [0, 2]}, "both are shard 0 of 2"),
        ({"shard": [2, 3]}, "2 shards of 2 seeds, and 3 of 2"),
        ({"shard": None}, "is a whole run and no shard of one"),
    ):
        run.write_text(before)
        edit(run, **values)
        done = command("merge", copy, "--output", tmp_path / "o")
        assert (done.returncode, message in done.stderr) == (78, True), done.stderr
    run.write_text(before)
    (copy / "shards" / "1-of-2" / "rnn" / "model.keras").write_bytes(b"")
    assert command("merge", copy, "--output", tmp_path / "o").returncode == 65


def test_an_output_that_holds_another_run_is_not_merged_into(command: Command, copy: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(copy / "shards" / "0-of-2", other)
    edit(other / "run.json", identity={})
    assert command("merge", copy, "--output", other).returncode == 78
