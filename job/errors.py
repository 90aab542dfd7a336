"""The expected errors: each carries the exit code of the contract and one line that says what to do.

What is not a `JobError` is a defect and ends with a traceback and exit code 1.
The numbers follow sysexits.h where it has one: https://man.openbsd.org/sysexits
"""

OK = 0
USAGE = 2


class JobError(Exception):
    """Something that a user, an operator or the machine can fix. The message is one line."""

    exit_code = 1


class DataError(JobError):
    """The data are bad: unreadable, unlabelled, of one class."""

    exit_code = 65


class MissingInputError(JobError):
    """A file or column that was named is not there."""

    exit_code = 66


class DeviceError(JobError):
    """A GPU, or its fast kernel, was required and none works."""

    exit_code = 69


class DivergedError(JobError):
    """Every run of an architecture diverged."""

    exit_code = 70


class DeviceMemoryError(JobError):
    """The GPU's memory does not suffice."""

    exit_code = 71


class OutputError(JobError):
    """The output cannot be written, or another process holds it."""

    exit_code = 73


class InputOutputError(JobError):
    """Reading or writing failed midway."""

    exit_code = 74


class TemporaryError(JobError):
    """A passing failure, such as a download: the same call may succeed later."""

    exit_code = 75


class ConfigurationError(JobError):
    """The configuration is wrong, or contradicts the run being continued."""

    exit_code = 78
