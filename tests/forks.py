"""The command in forks of one process that has imported TensorFlow, which is most of what a short command takes.

    python -m tests.forks      a line of JSON with arguments, environment and two files comes in, and its process id and, when
                               it has ended, its exit code go out

A fork runs `job.__main__.main` as `python -m job` would. What TensorFlow, Python and the linker read from the environment as
they start cannot change any more: commands that need that run in a process of their own (tests/conftest.py).
"""

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any


def serve() -> dict[str, Any] | None:
    """Forks for each line; what a fork is to run, or None at the end of the lines."""
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        process = os.fork()
        if process == 0:
            return asked
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
    return None


def become(asked: dict[str, Any]) -> None:
    """Makes this fork the process that was asked for."""
    for descriptor, path in ((0, os.devnull), (1, asked["stdout"]), (2, asked["stderr"])):
        opened = os.open(path, os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    program = Path(__file__).parents[1] / "job" / "__main__.py"
    sys.argv = [str(program), *asked["arguments"]]
    del sys.modules["job.__main__"]
    runpy.run_module("job", run_name="__main__", alter_sys=True)


def main() -> None:
    """Imports what commands need, and serves."""
    from job.machine import runtime

    runtime.import_tensorflow()
    import job.__main__
    import job.commands.train
    import job.network.forward
    import job.training.trainer  # noqa: F401 (all: for the forks)

    print("ready", flush=True)
    asked = serve()
    if asked:
        become(asked)


if __name__ == "__main__":
    main()
