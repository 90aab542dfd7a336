"""What MLflow loads a run's SavedModel with: it is sent along with the model, and needs TensorFlow and pandas alone.

Nothing of this package imports it, and it imports nothing of this package.
"""

from typing import Any

import pandas as pd
import tensorflow as tf

# Texts that are judged together.
_CHUNK = 256


class TextModel:
    """A SavedModel that takes texts and gives probabilities and labels."""

    def __init__(self, path: str) -> None:
        self._model = tf.saved_model.load(path)

    def predict(self, model_input: Any, params: Any = None) -> pd.DataFrame:
        """From a column `text` to the columns `probability`, of being positive, and `label`."""
        texts = [str(text).encode("utf-8", "replace") for text in model_input["text"]]
        asked = self._model.signatures["serving_default"]
        found: list[tuple[float, bytes]] = []
        for start in range(0, len(texts), _CHUNK):
            answer = asked(text=tf.constant(texts[start : start + _CHUNK]))
            found += zip(answer["probability"].numpy().tolist(), answer["label"].numpy().tolist(), strict=True)
        return pd.DataFrame({"probability": [each for each, _ in found], "label": [each.decode() for _, each in found]})


def _load_pyfunc(path: str) -> TextModel:
    return TextModel(path)
