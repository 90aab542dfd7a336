"""Files that TensorFlow writes by itself, whose errors are of its own kinds."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def writes() -> Iterator[None]:
    """Makes what TensorFlow raises where it cannot write a file the `OSError` that it is."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        # It names the file, then the operating system's reason, then perhaps where it comes from.
        found = re.search(r"; ([^;\n\[]+)", error.message)
        reason = found[1].strip() if found else error.message
        number = next((number for number in errno.errorcode if os.strerror(number) == reason), errno.EIO)
        raise OSError(number, reason) from None
