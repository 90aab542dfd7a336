"""The entry: handlers first, then the command line. The same as the command `sentiment-job`."""

from job import signals


def main() -> int:
    """Runs the command line and returns its exit code."""
    signals.install()
    from job.cli import run_command_line

    return run_command_line()


if __name__ == "__main__":
    raise SystemExit(main())
