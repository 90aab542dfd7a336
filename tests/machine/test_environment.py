"""What is set up before libraries are imported."""

import pytest

from tests.conftest import Command


def test_flags_that_xla_does_not_know_are_78(command: Command) -> None:
    pytest.importorskip("tensorflow")
    done = command("check", env={"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=true --xla_nonsense=1"})
    (line,) = done.stderr.splitlines()
    assert (done.returncode, line) == (
        78,
        "error: XLA_FLAGS: XLA does not know --xla_nonsense=1; correct it, or leave it out",
    )
