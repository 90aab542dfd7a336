"""Event files for TensorBoard: the history of every training, epoch by epoch."""

from pathlib import Path
from typing import Any

import tensorflow as tf

_NAMES = {
    "loss": "loss/training",
    "validation_loss": "loss/validation",
    "accuracy": "accuracy/training",
    "validation_accuracy": "accuracy/validation",
    "learning_rate": "learning_rate",
    "tokens_per_second": "tokens_per_second",
}
_SCALAR = tf.compat.v1.SummaryMetadata(plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"))


def write(histories: dict[str, list[dict[str, Any]]], folder: Path) -> None:
    """Writes a folder of event files for each training.

    Args:
        histories: Rows as of history.csv, by the name that TensorBoard shows, such as `lstm/seed-0`.
    """
    folder.mkdir()
    for name, rows in histories.items():
        writer = tf.summary.create_file_writer(str(folder / name))
        with writer.as_default():
            for row in rows:
                for key, shown in _NAMES.items():
                    if row[key] is not None:
                        # `tf.summary.scalar` is TensorBoard's, which is no dependency of TensorFlow's.
                        tf.summary.write(shown, tf.constant(row[key], tf.float32), step=row["epoch"], metadata=_SCALAR)
        writer.close()
