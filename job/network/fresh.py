"""A process that knows nothing of this package, in which exported models are tried as a server would load them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from job.errors import JobError

_SECONDS = 600
# Loads each model as a server would, in a process that knows nothing of this package, and asks it for the texts.
_ASK = """
import json, sys
# Keras, which TensorFlow imports, would import these where they are installed: a second for nothing.
sys.modules.update(matplotlib=None, sklearn=None)
import tensorflow as tf
asked = json.load(sys.stdin)
answers = []
for folder in asked["folders"]:
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    found = [serve(text=tf.constant([text])) for text in asked["texts"]]
    answers.append([[float(each["probability"][0]), each["label"].numpy()[0].decode()] for each in found])
print(json.dumps(answers))
"""


class FreshProcess:
    """It imports TensorFlow from its start on, so that it can be ready when the models are. It sees no GPU."""

    def __init__(self) -> None:
        # Not this package's folder, which could be found where Python was started; nor that warnings are to be errors.
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONWARNINGS")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ASK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env=environment | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    def ask(self, folders: list[Path], texts: list[str]) -> list[Any]:
        """What each SavedModel says of each text: pairs of the probability and the label.

        Raises:
            JobError: One cannot be loaded.
        """
        asked = json.dumps({"folders": [str(folder.resolve()) for folder in folders], "texts": texts})
        said, errors = self._process.communicate(asked, timeout=_SECONDS)
        try:
            answers: list[Any] = json.loads(said.splitlines()[-1])
        except (IndexError, ValueError):
            last = " ".join((errors.strip().splitlines() or ["no message"])[-1].split())[:300]
            raise JobError(f"{folders[0]}: the exported model cannot be loaded in a fresh process ({last})") from None
        return answers

    def close(self) -> None:
        """Ends it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        # Leaving it closes what leads to it, and waits.
        with self._process:
            pass
