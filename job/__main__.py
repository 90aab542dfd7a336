"""The entry: handlers first, then the command line. The same as the command `sentiment-job`."""

import os
import sys

from job.machine import signals, terminal


def main() -> int:
    """Runs the command line and returns its exit code."""
    terminal.set_up()
    signals.continues = sys.argv[1:2] == ["train"]
    try:
        signals.install()
        try:
            from job import command_line
        except OSError as error:
            signals.say(f"error: the program cannot be read ({error})")
            return 74

        code = command_line.run()
        signals.ignore()
        return code
    except signals.Interrupted as interruption:
        sys.stderr.flush()
        signals.say(f"stopped by {interruption}; {signals.outlook()}")
        # Not sys.exit: TensorFlow's threads may block a clean end.
        os._exit(interruption.exit_code)


if __name__ == "__main__":
    raise SystemExit(main())
