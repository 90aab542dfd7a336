"""What a signal does to a process of ours, whatever it is doing. Each process imports next to nothing."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import ROOT

# A job whose cleaning up takes a while, and is wanted whole.
_JOB = """
import os, signal, sys, time
from job import __main__, command_line
from job.machine import signals
{more}
def run():
    try:
        print("up", flush=True)
        time.sleep(60)
    finally:
        end = time.monotonic() + {seconds}
        while time.monotonic() < end:
            time.sleep(0.01)
        print("saved", flush=True)
command_line.run = run
sys.exit(__main__.main())
"""


@contextmanager
def started(
    *before: str, seconds: float = 0.0, more: str = "", stderr: int = subprocess.PIPE
) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*before, sys.executable, "-c", _JOB.format(seconds=seconds, more=more)],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)], ids=["TERM", "INT", "HUP"]
)
def test_a_signal_lets_it_clean_up_and_ends_it_with_its_code(number: signal.Signals, code: int) -> None:
    # Where the tests are run by nohup, it would inherit that.
    with started(seconds=0.3, more="sys.argv[1:] = ['train']; signal.signal(signal.SIGHUP, signal.SIG_DFL)") as process:
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (code, "saved\n")
    assert errors.splitlines() == [
        f"{number.name}: saving progress and ending; a second signal ends at once",
        f"stopped by {number.name}; the same command continues",
    ]


def test_a_command_that_keeps_nothing_does_not_say_that_it_did() -> None:
    with started(seconds=0.3, more="sys.argv[1:] = ['predict']") as process:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert errors.splitlines() == [
        "SIGTERM: ending; a second signal ends at once",
        "stopped by SIGTERM; the same command begins anew",
    ]


def test_signals_that_come_together_are_one() -> None:
    with started(seconds=0.5) as process:
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (143, "saved\n"), errors


def test_a_later_second_signal_ends_it_at_once() -> None:
    with started(seconds=60) as process:
        process.send_signal(signal.SIGTERM)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=5)
    assert (process.returncode, output) == (130, "")
    assert "stopped by SIGINT without waiting longer" in errors


def test_who_is_started_by_nohup_outlives_its_terminal() -> None:
    with started("nohup") as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 143


def test_a_signal_that_has_another_handler_ends_nothing() -> None:
    with started(more="signal.signal(signal.SIGWINCH, lambda *_: None)") as process:
        process.send_signal(signal.SIGWINCH)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (143, "saved\n"), errors


def test_a_log_that_nobody_reads_does_not_keep_it_from_ending() -> None:
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        while select.select([], [writer], [], 0)[1]:
            os.write(writer, b"x" * 65536)
        os.set_blocking(writer, True)
        with started(stderr=writer) as process:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=5) == 143
    finally:
        os.close(reader)
        os.close(writer)


def test_a_signal_after_the_work_is_done_changes_nothing() -> None:
    more = "import atexit; atexit.register(lambda: (os.kill(os.getpid(), signal.SIGTERM), time.sleep(0.1))); time.sleep = lambda _, real=time.sleep: real(0.05)"
    with started(more=more) as process:
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (0, "saved\n", "")


def test_what_a_signal_says_is_heard_while_a_librarys_noise_is_kept_back() -> None:
    more = "from job.machine import noise; kept = noise.without_noise(); time.sleep = lambda seconds, real=time.sleep: real(seconds) if seconds < 1 else kept.__enter__() or real(seconds)"
    with started(seconds=0.3, more=more) as process:
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert errors.splitlines()[0].startswith("SIGTERM: ending"), errors


# What goes away sends the signal, and Python drops what is raised meanwhile.
_AMID_A_FINALIZER = """
class Going:
    def __del__(self):
        os.kill(os.getpid(), {number})
        for _ in range(1000):
            pass
def sleep(seconds, real=time.sleep):
    if seconds == 60:
        Going()
    real(seconds)
time.sleep = sleep
"""


def test_a_signal_amid_a_finalizer_ends_it_as_well() -> None:
    began = time.monotonic()
    with started(more=_AMID_A_FINALIZER.format(number="signal.SIGTERM")) as process:
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (143, "saved\n")
    assert errors.splitlines() == [
        "SIGTERM: ending; a second signal ends at once",
        "stopped by SIGTERM; the same command begins anew",
    ]
    # Not only when the time is over.
    assert time.monotonic() - began < 7


def test_in_a_worker_too() -> None:
    script = f"""
import os, signal, time
from job.machine import signals
signals.install_in_worker()
{_AMID_A_FINALIZER.format(number="signals.STOP")}
try:
    time.sleep(60)
except signals.Interrupted as stop:
    print(stop)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "SIGTERM\n", "")


def test_what_else_is_raised_amid_a_finalizer_is_told_as_ever() -> None:
    script = "import job.machine.signals as signals; signals.install()\nclass A:\n    def __del__(self): 1 / 0\nA()"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert "ZeroDivisionError" in done.stderr
