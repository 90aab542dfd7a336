"""Signals and faults, against the real command."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from job.machine import signals
from tests.conftest import ROOT, Command, rows, table

QUICK = ("train", "--preset", "quickstart", "--device", "cpu", "--architecture", "rnn", "--units", "8", "--batch-size", "512")
# Seconds for what takes one: the machine may be busy with other tests.
SOON = 30
BOTH = pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])


@contextmanager
def started(*arguments: str | Path, script: str | None = None) -> Iterator["subprocess.Popen[str]"]:
    what = ["-c", script] if script else ["-m", "job", *map(str, arguments)]
    process = subprocess.Popen(
        [sys.executable, *what],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(what: str, stream: object) -> None:
    for line in stream:  # type: ignore[attr-defined]
        if what in line:
            return
    pytest.fail(f"{what!r} never came")


@BOTH
def test_a_signal_in_training_saves_progress_and_ends_with_its_code(
    number: signal.Signals, code: int, tmp_path: Path, shared_cache: Path
) -> None:
    arguments = (*QUICK, "--epochs", "1000", "--cache", shared_cache, "--output", tmp_path)
    for earlier in (0, 1):
        with started(*arguments) as process:
            if earlier:
                wait_for("rnn seed 0: continued at epoch", process.stderr)
            wait_for(": epoch ", process.stderr)
            process.send_signal(number)
            _, errors = process.communicate(timeout=SOON)
            assert process.returncode == code
            assert errors.splitlines()[-1] == f"stopped by {number.name}; the same command continues"
    assert not (tmp_path / "metrics.json").exists()
    assert not (tmp_path / ".lock").exists()
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_a_second_signal_ends_at_once_and_a_busy_process_in_time() -> None:
    # A native call that does not return: Python's handlers never run.
    busy = "import hashlib; from job.machine import signals; signals.GRACE_SECONDS = {}; signals.install(); signals._deferring = True; print('up', flush=True); hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"
    with started(script=busy.format(60)) as process:
        wait_for("up", process.stdout)
        process.send_signal(signal.SIGTERM)
        wait_for("a second signal ends at once", process.stderr)
        # One that came together with the first would be the same one.
        time.sleep(2 * signals._ECHO_SECONDS)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=SOON) == 130
    with started(script=busy.format(0.5)) as process:
        wait_for("up", process.stdout)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=SOON) == 143


def test_a_signal_while_texts_are_encoded_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "many.csv").write_bytes(table([(f"{text} {n}", label) for n, (text, label) in enumerate(rows(300_000))]))
    with started("data", "inspect", "--data", tmp_path / "many.csv", "--cache", tmp_path / "cache") as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("cache/unfinished/*/corpus/provisional")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=SOON) == 143
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_signal_during_a_download_leaves_nothing_behind(tmp_path: Path) -> None:
    # A proxy on loopback that accepts and then says nothing.
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections: list[socket.socket] = []
        thread = threading.Thread(target=lambda: connections.append(server.accept()[0]), daemon=True)
        thread.start()
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        script = f"import os, sys; os.environ.update(HTTPS_PROXY={proxy!r}, https_proxy={proxy!r}, NO_PROXY='', no_proxy=''); sys.argv = ['x', 'data', 'fetch', '--cache', {str(tmp_path)!r}]; from job.__main__ import main; main()"
        with started(script=script) as process:
            thread.join(30)
            assert connections
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=SOON) == 130
        connections[0].close()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_as_process_1_of_a_container_it_hears_signals(tmp_path: Path, shared_cache: Path) -> None:
    unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no new process namespace may be made here")
    train = [sys.executable, "-m", "job", *QUICK, "--epochs", "1000", "--cache", str(shared_cache), "--output", str(tmp_path)]
    process = subprocess.Popen([*unshare, "--kill-child", *train], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(": epoch ", process.stderr)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)
        process.communicate(timeout=SOON)
        assert process.returncode == 143
    finally:
        process.kill()


def test_an_output_that_is_removed_in_mid_run_is_74_and_does_not_come_back(tmp_path: Path, shared_cache: Path) -> None:
    output = tmp_path / "output"
    with started(*QUICK, "--epochs", "1000", "--cache", shared_cache, "--output", output) as process:
        wait_for(": epoch ", process.stderr)
        while output.exists():
            shutil.rmtree(output, ignore_errors=True)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 74
    assert "was removed while the job ran" in errors.splitlines()[-1]
    assert not output.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.long
def test_a_full_and_a_read_only_disk_end_the_job_and_a_rerun_finishes(
    small_disk: Path, command: Command, tmp_path: Path
) -> None:
    arguments = (*QUICK, "--epochs", "2", "--output", small_disk / "output")
    done = command(*arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (74, False), done.stderr
    assert "No space left on device" in done.stderr.splitlines()[-1]
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = command(*arguments)
    assert (done.returncode, "read-only" in done.stderr.splitlines()[-1]) == (73, True), done.stderr
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert command(*arguments).returncode == 0
    assert command(*QUICK, "--epochs", "2", "--output", tmp_path / "reference").returncode == 0
    assert (small_disk / "output" / "predictions.csv").read_bytes() == (tmp_path / "reference" / "predictions.csv").read_bytes()


def test_a_run_is_continued_when_its_last_checkpoint_is_damaged(tmp_path: Path, shared_cache: Path, command: Command) -> None:
    for _ in range(2):
        # Two signals, two snapshots: at an epoch's end there is one only where it costs little beside the epoch.
        with started(*QUICK, "--epochs", "1000", "--cache", shared_cache, "--output", tmp_path) as process:
            wait_for(": epoch ", process.stderr)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=SOON)
    last = max((tmp_path / "checkpoints").iterdir())
    last.write_bytes(last.read_bytes()[:-1])
    with started(*QUICK, "--epochs", "1000", "--cache", shared_cache, "--output", tmp_path) as process:
        wait_for(f"{last} is damaged and not used", process.stderr)
        wait_for("rnn seed 0: continued at epoch", process.stderr)


@pytest.mark.long
def test_a_change_of_place_is_warned_of_and_on_record(
    tmp_path: Path, shared_cache: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (*QUICK, "--epochs", "8", "--cache", shared_cache, "--output", tmp_path)
    with started(*arguments) as process:
        wait_for(": epoch ", process.stderr)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SOON)
    script = (
        "import sys; from job.machine import device; real = device.select; device.select = lambda *a, **k: real(*a, **k).but(name='another processor');"
        f"sys.argv = ['x', *{[str(each) for each in arguments]!r}]; from job.__main__ import main; sys.exit(main())"
    )
    with started(script=script) as process:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert "the result will not be the same to the bit" in errors
    (run,) = json.loads((tmp_path / "metrics.json").read_text())["architectures"]["rnn"]["runs"]
    (change,) = run["continued"]
    assert "to cpu (another processor" in change


def test_a_standard_output_that_takes_nothing_is_74(tmp_path: Path, shared_cache: Path) -> None:
    arguments = [sys.executable, "-m", "job", "train", "--preset", "quickstart", "--dry-run", "--output", str(tmp_path)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(arguments, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (74, "error: standard output: writing failed (No space left on device)\n")
    # As of `| head -1`.
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(arguments, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (74, "error: standard output: writing failed (Broken pipe)\n")


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments", [["kills", "--kills", "1", "--epochs", "2"], ["writes", "--every", "45"]], ids=["kills", "writes"]
)
def test_what_the_fault_harness_finds(arguments: list[str], tmp_path: Path) -> None:
    """A few kills of each kind and some of the writes; all of them when the script is run by hand."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.measure.faults", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=600, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
