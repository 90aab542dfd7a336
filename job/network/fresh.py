"""A process that knows nothing of this package, in which exported models are tried as a server would load them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from job.analysis.scores import is_positive
from job.errors import JobError

_SECONDS = 600
_TOLERANCE = 1e-5
# Loads each model as a server would, in a process that knows nothing of this package, and asks it for the texts.
_ASK = """
import json, sys
# Keras, which TensorFlow imports, would import these where they are installed: a second for nothing.
sys.modules.update(matplotlib=None, sklearn=None)
import tensorflow as tf
texts = json.load(open(sys.argv[1]))
for line in sys.stdin:
    serve = tf.saved_model.load(json.loads(line)).signatures["serving_default"]
    found = [serve(text=tf.constant([text])) for text in texts]
    print(json.dumps([[float(each["probability"][0]), each["label"].numpy()[0].decode()] for each in found]))
"""
Answer = list[tuple[float, str]]
"""Of each text the probability and the label."""


class KilledError(JobError):
    """The process was ended from outside, which says nothing of the models."""


class FreshProcess:
    """It imports TensorFlow from its start on, so that it can be ready when the models are. It sees no GPU.

    Args:
        texts: What it asks every model.
        folder: Where it is told them.
    """

    def __init__(self, texts: list[str], folder: Path) -> None:
        # Not this package's folder, which could be found where Python was started; nor that warnings are to be errors.
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONWARNINGS")}
        asked = folder / "texts.json"
        asked.write_text(json.dumps(texts))
        # Files, as a pipe that is full would hold it up.
        self._said, self._errors = _file(), _file()
        self._names: list[Path] = []
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ASK, str(asked.resolve())],
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=self._errors,
            text=True,
            cwd="/",
            env=environment | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    def load(self, folder: Path, name: Path) -> None:
        """Has it load a SavedModel, which is called `name` in messages, and does not wait for that."""
        self._names.append(name)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(str(folder.resolve())), file=self._process.stdin, flush=True)

    def answers(self) -> list[Answer]:
        """What each SavedModel says, in the order in which they were loaded; after it the process has ended.

        Raises:
            KilledError: The process was ended from outside.
            JobError: One cannot be loaded.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=_SECONDS)
        if (self._process.returncode or 0) < 0:
            how = signal.Signals(-self._process.returncode).name
            raise KilledError(f"the process that tries the exported models was ended by {how}")
        found = [[(float(one), str(other)) for one, other in json.loads(line)] for line in _lines(self._said)]
        if len(found) < len(self._names):
            last = " ".join((_lines(self._errors) or ["no message"])[-1].split())[:300]
            raise JobError(f"{self._names[len(found)]}: the exported model cannot be loaded in a fresh process ({last})")
        return found

    def close(self) -> None:
        """Ends it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        # Leaving it closes what leads to it, and waits.
        with self._process, self._said, self._errors:
            pass


def _file() -> IO[str]:
    """A file without a name; in memory where that can be, so that a full disk is not taken for a bad model."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("said"), "w+")
    return tempfile.TemporaryFile("w+")


def _lines(stream: IO[str]) -> list[str]:
    stream.seek(0)
    return stream.read().splitlines()


def difference(name: Path, answer: Answer, expected: NDArray[np.float32], threshold: float) -> float:
    """The largest difference of an exported model's probabilities from the trained one's.

    Args:
        expected: The trained one's, <float32>[texts].
        threshold: Above which probability a text is labelled positive.

    Raises:
        JobError: It is more than rounding, or the labels are others, which is a defect.
    """
    got = np.array([probability for probability, _ in answer])
    found = float(np.max(np.abs(got - expected)))
    if not found <= _TOLERANCE:
        raise JobError(
            f"{name}: the exported model differs from the trained one by {found:.2g}; at most {_TOLERANCE} is rounding"
        )
    if not np.array_equal([label == "positive" for _, label in answer], is_positive(got, threshold)):
        raise JobError(f"{name}: the exported model does not label by its threshold of {threshold:g}")
    return found
