"""Copies of a finished run's parts for those who look for them elsewhere."""

import logging
import shutil
from pathlib import Path

from job.files import atomic
from job.output.best import best_model
from job.output.finished import SAVED_MODEL, VerifiedRun
from job.output.folder import EVENTS

log = logging.getLogger(__name__)


def deliver(folder: Path, model: Path | None, tensorboard: Path | None) -> None:
    """Copies the model that `predict` asks by default, and what TensorBoard shows; a second time, over the first.

    Args:
        folder: Of a finished run.
        model: Takes the content of the SavedModel's folder.

    Raises:
        InputOutputError: They cannot be written.
    """
    run = VerifiedRun.verify(folder)
    names = run.models()
    if model is not None and names:
        chosen = best_model(run.metrics, names)
        _copy(folder / chosen / SAVED_MODEL, model)
        log.info(f"the {chosen}'s SavedModel is in {model}")
    if tensorboard is not None and (folder / EVENTS).is_dir():
        _copy(folder / EVENTS, tensorboard)


def _copy(source: Path, target: Path) -> None:
    with atomic.explained(target):
        # Into what is there: a bucket that is mounted can rename no folder. The graph comes last, without which there is no model.
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("saved_model.pb"))
        for graph in source.glob("saved_model.pb"):
            shutil.copyfile(graph, target / graph.name)
