"""The fault harness reads what it hears of a run as it should; what it finds is no matter of tests."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from job.files.lock import WriterLock
from scripts.measure.faults import crashes, holder, limits
from scripts.measure.faults.crashes import Call, Traced
from tests.conftest import ROOT

LOG = """\
7 openat(AT_FDCWD</x>, "/place/output/.lock", O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0644) = 9</place/output/.lock>
7 pwrite64(9</place/output/.lock>, ""..., 512, 0) = 512
8 pwrite64(9</place/output/.lock>, ""..., 512, 0 <unfinished ...>
7 openat(AT_FDCWD</x>, "/place/output/run.json", O_RDONLY|O_CLOEXEC) = 3</place/output/run.json>
8 <... pwrite64 resumed>) = 512
7 mkdir("/place/output", 0777) = -1 EEXIST (File exists)
7 write(2</said>, ""..., 9) = 9
7 rename("/place/output/.run.json.0a1b2c3d.tmp", "/place/output/run.json") = ?
7 +++ killed by SIGKILL +++
"""


@pytest.fixture
def traced(tmp_path: Path) -> Traced:
    (tmp_path / "log").write_text(LOG)
    run = Traced.__new__(Traced)
    run._log, run._place = tmp_path / "log", Path("/place")
    return run


def test_of_a_run_s_calls_those_that_change_something_are_known_with_their_number_in_their_thread(traced: Traced) -> None:
    assert traced.calls() == [
        Call(7, "openat", 1, "output/.lock"),
        Call(7, "pwrite64", 1, "output/.lock"),
        Call(8, "pwrite64", 1, "output/.lock"),
        Call(7, "rename", 1, "output/run.json"),
    ]
    assert traced.died_before(Call(5, "rename", 1, "output/run.json")) == Call(7, "rename", 1, "output/run.json")


def test_the_same_call_of_two_runs_is_of_one_kind() -> None:
    one, other = (
        f"output/.scratch.{scrap}.tmp/tmp{name}/model.keras"
        for scrap, name in (("0a1b2c3d", "abcdefgh"), ("44556677", "z_345678"))
    )
    assert Call(1, "write", 1, one).kind == Call(2, "write", 5, other).kind == ("write", "output/.scratch.….tmp/…/model.keras")


def test_without_strace_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert crashes.crash_series(tmp_path, ["train"], 1) is False
    assert capsys.readouterr().err.startswith("strace is not installed")


def test_what_a_run_failed_of_is_read_from_its_events() -> None:
    said = '{"event": "phase"}\na line of a library\n{"event": "error", "exit_code": 74, "message": "error: no room"}\n'
    assert limits._told(said) == ["error: no room"]


def test_a_hurried_lock_takes_silence_for_death_after_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WriterLock.__init__, "__defaults__", WriterLock.__init__.__defaults__)
    holder.hurry()
    (tmp_path / ".lock").write_bytes(b"of another machine")
    began = time.monotonic()
    with WriterLock(tmp_path) as lock:
        lock.check()
    assert 3 <= time.monotonic() - began < 30


@pytest.mark.long
def test_a_report_that_is_killed_is_written_by_the_next_call() -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    command = [sys.executable, "-m", "scripts.measure.faults", "crashes", "--command", "report", "--every", "19"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "report: 1 SIGKILLs before one of 19 calls" in done.stdout
    assert "called again, 1 ended the same as undisturbed, 0 did NOT" in done.stdout
