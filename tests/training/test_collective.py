"""Whether several processes can sum is found out, and what stands in the way is told in a line."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from job.commands import check
from job.commands.check import Found
from job.errors import JobError
from job.machine.device import Build, Facts
from job.machine.device import Check as DeviceCheck
from job.peers import Peers, free_hosts
from job.training import collective
from job.training.collective import Collective, vector
from tests.conftest import Command

PEERS = Peers(1, ("one:2222", "two:2222"))


def right() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return vector(0) + vector(1)


def test_the_sum_is_compared_and_timed() -> None:
    assert vector(0)[0] != vector(1)[0]
    found = collective.judge(2, right(), [0.5, 0.25, 9.0])
    assert (found.works, found.processes, found.mib_per_second, found.error) == (True, 2, 8.0, None)
    assert 0 <= (found.largest_difference or 0) < 1e-6


@pytest.mark.parametrize(("wrong", "said"), [(0.01, "by 0.01"), (float("nan"), "by nan")])
def test_a_sum_that_is_wrong_does_not_work(wrong: float, said: str) -> None:
    sums = right()
    sums[7] += wrong
    found = collective.judge(2, sums, [1.0])
    assert (found.works, found.exit_code) == (False, 69)
    assert f"the sum over 2 processes is wrong {said}" in str(found.error)


def ended(script: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_process_that_dies_in_it_is_told_of() -> None:
    found = collective.finish(PEERS, ended("import os, sys; print('F0000 NCCL refused', file=sys.stderr); sys.stderr.flush(); os.abort()"))  # fmt: skip
    assert found.error == f"worker 1 (two:2222) ended with {-signal.SIGABRT}: F0000 NCCL refused"
    assert (found.works, found.exit_code) == (False, 75)


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collective, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(collective, "_SECONDS", 0.3)
    process = ended("import time; time.sleep(600)")
    found = collective.finish(PEERS, process)
    assert "look whether all processes reach each other's ports" in str(found.error)
    assert process.returncode == -signal.SIGKILL


def test_what_does_not_sum_ends_check_with_the_cause_s_code() -> None:
    checked = DeviceCheck(facts=Facts(present=False), problem="none", probe=None, tensorflow="2", built_for=Build(cuda=None, cudnn=None, compute_capabilities=[]))  # fmt: skip
    check.judge(Found(device=checked, together=Collective(processes=2, works=True)), False)
    failed = Collective(processes=2, works=False, error="worker 1 did not come", exit_code=75)
    with pytest.raises(JobError, match="worker 1 did not come") as caught:
        check.judge(Found(device=checked, together=failed), False)
    assert caught.value.exit_code == 75


@pytest.mark.long
def test_the_devices_of_a_machine_and_several_machines_sum(command: Command) -> None:
    pytest.importorskip("tensorflow")
    found = json.loads(command("check", "--devices", "2", "--json").stdout)["together"]
    assert (found["processes"], found["works"]) == (2, True)
    assert found["largest_difference"] < 1e-4 < found["mib_per_second"]

    hosts = ["--hosts", ",".join(free_hosts(2))]
    arguments = [sys.executable, "-m", "job", "check", *hosts, "--worker"]
    with subprocess.Popen([*arguments, "1/2"], stdout=subprocess.PIPE, text=True, env=os.environ) as other:
        done = command("check", *hosts, "--worker", "0/2")
        said, _ = other.communicate(timeout=120)
    for text in (done.stdout, said):
        assert re.search(r"^sum over 2 processes: right, [\d,]+ MiB/s$", text, re.MULTILINE)
    assert (done.returncode, other.returncode) == (0, 0)


def test_one_device_has_nothing_to_sum(command: Command) -> None:
    pytest.importorskip("tensorflow")
    done = command("check", "--devices", "all")
    assert (done.returncode, "sum over" in done.stdout) == (0, False)
    done = command("check", "--devices", "0")
    assert (done.returncode, done.stderr.startswith("error: --devices 0: expected all, or")) == (78, True)
