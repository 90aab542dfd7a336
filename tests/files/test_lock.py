"""One writer a folder, however it ends."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from job.errors import InputOutputError, OutputError
from job.files import atomic
from job.files.lock import WriterLock
from tests.conftest import ROOT


def quick(folder: Path, patience: float = 0.6, renewal: float = 0.1) -> WriterLock:
    return WriterLock(folder, patience, renewal)


def foreign(folder: Path, renewals: int = 1) -> None:
    """A lock as another machine writes it."""
    holder = {"host": "elsewhere", "process": 7, "boot": "another", "token": "theirs", "renewals": renewals}
    (folder / ".lock").write_bytes(json.dumps(holder).encode().ljust(512))


def test_a_lock_names_its_holder_and_is_gone_at_the_end(tmp_path: Path) -> None:
    with quick(tmp_path) as lock:
        holder = json.loads((tmp_path / ".lock").read_text())
        assert holder["process"] == os.getpid()
        assert holder["host"]
        lock.check()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["a FIFO", "a folder", "a link", "a link to nothing", "a link to itself", "a device"])
def test_what_is_no_lock_is_73_at_once_and_is_not_written_to(kind: str, tmp_path: Path) -> None:
    from job.files import lock

    path, outside = tmp_path / "output" / ".lock", tmp_path / "outside"
    path.parent.mkdir()
    # A lock whose holder on this machine is dead would be taken over.
    outside.write_bytes(json.dumps({"boot": lock._boot(), "token": "theirs"}).encode().ljust(512))
    before = outside.read_bytes()
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    else:
        leads: dict[str, Path | str] = {
            "a link": outside,
            "a link to nothing": tmp_path / "none",
            "a link to itself": path,
            "a device": "/dev/zero",
        }
        path.symlink_to(leads[kind])
    with pytest.raises(OutputError, match=r"\.lock: expected a lock file that a job wrote, .* remove it"):
        WriterLock(path.parent).__enter__()
    assert outside.read_bytes() == before
    assert not (tmp_path / "none").exists()


def test_it_is_renewed(tmp_path: Path) -> None:
    with quick(tmp_path, renewal=0.02):
        deadline = time.monotonic() + 10
        while json.loads((tmp_path / ".lock").read_text())["renewals"] < 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_living_holder_is_waited_for_and_then_it_is_73(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "job")
    with quick(tmp_path):
        began = time.monotonic()
        with pytest.raises(OutputError, match=f"process {os.getpid()} on .* is alive; wait for it to end") as caught:
            quick(tmp_path).__enter__()
        assert time.monotonic() - began >= 0.6
    assert caught.value.exit_code == 73
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path} is held by process {os.getpid()} on ")
    assert "waiting up to 1 s for it to end" in said


def test_where_its_work_is_wanted_a_living_holder_is_waited_for_however_long(tmp_path: Path) -> None:
    first = quick(tmp_path)
    first.__enter__()
    threading.Timer(1.5, first.__exit__, (None, None, None)).start()
    with WriterLock(tmp_path, patience=0.4, renewal=0.1, wait_for_the_living=True) as second:
        second.check()


def test_a_holder_that_ends_meanwhile_is_followed(tmp_path: Path) -> None:
    first = quick(tmp_path, patience=30)
    first.__enter__()
    threading.Timer(0.3, first.__exit__, (None, None, None)).start()
    with quick(tmp_path, patience=30) as second:
        second.check()


def test_a_dead_holder_on_this_machine_is_replaced_at_once(tmp_path: Path) -> None:
    script = "import os, sys; from pathlib import Path; from job.files.lock import WriterLock; WriterLock(Path(sys.argv[1])).__enter__(); os._exit(0)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=True)
    assert (tmp_path / ".lock").exists()
    began = time.monotonic()
    with quick(tmp_path, patience=60) as lock:
        lock.check()
        assert time.monotonic() - began < 5


def test_another_machine_s_lock_is_taken_over_only_when_its_renewals_have_stopped(tmp_path: Path) -> None:
    foreign(tmp_path)
    began = time.monotonic()
    with quick(tmp_path) as lock:
        assert time.monotonic() - began >= 0.6
        lock.check()
    assert list(tmp_path.iterdir()) == []


def test_another_machine_s_lock_that_is_renewed_is_73(tmp_path: Path) -> None:
    foreign(tmp_path)
    ended = threading.Event()

    def renew() -> None:
        number = 1
        while not ended.wait(0.05):
            number += 1
            foreign(tmp_path, number)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with pytest.raises(OutputError, match="process 7 on elsewhere is writing here"):
            quick(tmp_path, patience=2).__enter__()
    finally:
        ended.set()
        thread.join()


def test_one_that_was_paused_and_replaced_writes_no_more(tmp_path: Path) -> None:
    atomic.write(tmp_path / "file", b"before")
    paused = quick(tmp_path, renewal=1000)
    paused.__enter__()
    with quick(tmp_path) as second:
        with pytest.raises(OutputError, match="took over this output"):
            atomic.write(tmp_path / "file", b"from the paused one", paused.check)
        assert (tmp_path / "file").read_bytes() == b"before"
        paused.__exit__(None, None, None)
        second.check()
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "file"]


def test_of_two_that_take_over_one_stays(tmp_path: Path) -> None:
    foreign(tmp_path)
    outcomes: list[str] = []

    def take() -> None:
        try:
            with quick(tmp_path, patience=1.5) as lock:
                time.sleep(3)
                lock.check()
                outcomes.append("held")
        except OutputError:
            outcomes.append("73")

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["73", "73", "held"]


def test_a_folder_that_is_removed_in_mid_run_is_74_and_stays_away(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    with quick(folder) as lock:
        (folder / ".lock").unlink()
        folder.rmdir()
        with pytest.raises(InputOutputError, match="was removed while the job ran"):
            atomic.write(folder / "checkpoints" / "file", b"", lock.check)
    assert not folder.exists()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=600), st.sampled_from([b"[]", b"null", b'{"token": 1}', b"{" * 600])))
def test_whatever_a_lock_file_holds_it_is_taken_over_when_nobody_renews_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ".lock").write_bytes(content)
    with quick(tmp_path, patience=0.02, renewal=0.002) as lock:
        lock.check()
    assert list(tmp_path.iterdir()) == []


def test_one_that_died_before_it_could_say_who_it_was_is_not_waited_for_long(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    began = time.monotonic()
    with quick(tmp_path, patience=60) as lock:
        lock.check()
        assert 0.25 <= time.monotonic() - began < 10
