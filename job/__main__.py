"""The entry: handlers first, then the command line. The same as the command `sentiment-job`."""

import os
import sys

from job.machine import signals, terminal


def main() -> int:
    """Runs the command line and returns its exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # Closed by who started the job; what is written there is lost, and nothing else.
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (for the whole process)
    terminal.set_up()
    try:
        signals.install()
        from job import command_line

        return command_line.run()
    except signals.Interrupted as interruption:
        sys.stderr.flush()
        signals.say(f"stopped by {interruption}; the same command continues")
        # Not sys.exit: TensorFlow's threads may block a clean end.
        os._exit(interruption.exit_code)


if __name__ == "__main__":
    raise SystemExit(main())
