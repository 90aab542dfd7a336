"""Runs a command: what it ends with becomes an exit code, and an expected error one line."""

import errno
import os
import sys
from typing import Any

from job import platforms, progress
from job.cli import app
from job.errors import OK, USAGE, InputOutputError, JobError, MissingInputError, OutputError
from job.machine import signals, terminal, termination

_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)


def run() -> int:
    """Runs a command and returns its exit code; an expected error is one line on standard error."""
    progress.set_up_logging()
    completes = sys.argv[1:2] in (["--install-completion"], ["--show-completion"])
    try:
        status = _call_app()
        # What the standard output does not take must be known before the exit code is.
        sys.stdout.flush()
        return USAGE if completes and status else int(status or OK)
    except signals.Interrupted as interruption:
        saved = "progress is saved, " if signals.continues else ""
        _leave_message(f"stopped by {interruption}; {saved}{signals.outlook()}")
        raise
    except JobError as error:
        return _fail(str(error), error.exit_code)
    except MemoryError:
        return _out_of_memory()
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        return _fail("no more threads may be started here; raise the limit of processes, or lower --workers", 1)
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        missing = MissingInputError(
            "TensorFlow is not installed; use scripts/train.sh, which installs it, or `pip install 'sentiment-job[cpu]'`"
        )
        return _fail(str(missing), missing.exit_code)
    except ImportError as error:
        # A library that cannot be opened.
        if os.strerror(errno.EMFILE) not in str(error):
            raise
        return _too_many_files()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            # The command line library ends by 1, and says nothing, where a reader has ended.
            return _fail_to_print(ended.__context__)
        # The command line library installs completion by itself; a shell that it does not know is no defect.
        return USAGE if completes and ended.code else int(ended.code or OK)
    except OSError as error:
        if completes and error.filename is not None:
            return _fail(f"{error.filename}: the completion cannot be written ({error.strerror})", OutputError.exit_code)
        if error.errno in _TOO_MANY_FILES:
            return _too_many_files()
        if error.errno == errno.ENOMEM:
            return _out_of_memory()
        if error.filename is not None or error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EIO):
            raise
        return _fail_to_print(error)
    except Exception as error:
        show = getattr(error, "show", None)
        if show is None:
            raise
        # A usage error of the command line library, which brings its text and its code (2) along.
        error.message = terminal.visible(getattr(error, "message", ""))  # type: ignore[attr-defined]
        show()
        _leave(" ".join(error.format_message().split()))  # type: ignore[attr-defined]
        return int(getattr(error, "exit_code", USAGE))


def _call_app() -> Any:
    try:
        platforms.adopt(sys.argv[1:], os.environ)
        return app(standalone_mode=False, prog_name="sentiment-job")
    except JobError:
        raise
    except Exception:
        # Native code may have caught what a signal raised within it, and raised something of its own.
        signals.raise_pending()
        raise


def _fail_to_print(error: OSError) -> int:
    # The interpreter must not complain of it once more at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return _fail(f"standard output: writing failed ({error.strerror})", InputOutputError.exit_code)


def _out_of_memory() -> int:
    return _fail("out of memory; lower --batch-size or --max-tokens, or give the job more", 1)


def _too_many_files() -> int:
    # A part of Python that not everyone who may run it may read.
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _fail(f"no more than {limit} files may be open here; raise the limit (ulimit -n 1024)", InputOutputError.exit_code)


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    progress.current().fail(line, code)
    _leave(line)
    return code


def _leave(line: str) -> None:
    """What the job fails with, for those who started it."""
    _leave_message(f"error: {line}")
    platforms.leave_failure(line, os.environ)


def _leave_message(text: str) -> None:
    termination.leave(text, os.environ.get("JOB_TERMINATION_LOG"))
