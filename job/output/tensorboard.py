"""Event files for TensorBoard: the history of every training, epoch by epoch."""

from pathlib import Path

import tensorflow as tf

from job.files import native
from job.output.results import Trials
from job.records.history import Epoch

_NAMES = {
    "loss": "loss/training",
    "validation_loss": "loss/validation",
    "accuracy": "accuracy/training",
    "validation_accuracy": "accuracy/validation",
    "learning_rate": "learning_rate",
    "tokens_per_second": "tokens_per_second",
}
_SCALAR = tf.compat.v1.SummaryMetadata(plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"))


def write(trials: Trials, folder: Path) -> None:
    """Writes a folder of event files for each training, such as `lstm/seed-0`; raises `OSError` if it cannot."""
    folder.mkdir()
    with native.writes():
        for name, epochs in _named(trials).items():
            _write(folder / name, epochs)


def _write(folder: Path, epochs: list[Epoch]) -> None:
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        for epoch in epochs:
            for key, shown in _NAMES.items():
                value = getattr(epoch, key)
                if value is not None:
                    # `tf.summary.scalar` is TensorBoard's, which is no dependency of TensorFlow's.
                    tf.summary.write(shown, tf.constant(value, tf.float32), step=epoch.epoch, metadata=_SCALAR)
    writer.close()


def _named(trials: Trials) -> dict[str, list[Epoch]]:
    """Each training's epochs, by the name that TensorBoard shows."""
    named: dict[str, list[Epoch]] = {}
    for architecture, result in trials:
        for row in result.history:
            where = [] if row.distance is None else [f"distance-{row.distance}", row.remedy or "plain"]
            named.setdefault("/".join([str(architecture), *where, f"seed-{row.seed}"]), []).append(row.epoch)
    return named
