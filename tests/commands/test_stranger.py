"""A run that somebody else made is data: no command runs what it brings along."""

import contextlib
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.commands import evaluate, predict, report
from job.errors import DataError
from job.machine import runtime
from job.output.finished import FinishedRun, VerifiedRun
from job.presets import ModelName
from job.report import card
from tests.conftest import rows, table
from tests.data.samples import source
from tests.output.samples import rehash, write_run


class Pickled:
    """Makes a folder when it is read by whoever reads pickles."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_pickle_in_a_run_is_not_read(tmp_path: Path) -> None:
    run, witness = write_run(tmp_path / "run"), tmp_path / "witness"
    np.save(run / "training_hashes.npy", np.array([Pickled(witness)], object), allow_pickle=True)
    rehash(run)
    np.load(run / "training_hashes.npy", allow_pickle=True)
    assert witness.exists()
    witness.rmdir()
    with pytest.raises(DataError, match=r"training_hashes\.npy: is not what this version writes into a run"):
        VerifiedRun.verify(run).training_hashes()
    assert not witness.exists()


def keras_that_writes(path: Path, witness: Path) -> None:
    """Makes the layers of a model.keras such that loading them writes a file; its weights stay."""
    import keras

    given = keras.Input((1,))
    called = keras.layers.Lambda(
        lambda value, name: (__import__("pathlib").Path(name).touch(), value)[1], arguments={"name": str(witness)}
    )
    keras.Model(given, called(given)).save(path.with_name("other.keras"))
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(path.with_name("other.keras")) as other:
        content = {name: archive.read(name) for name in archive.namelist()} | {"config.json": other.read("config.json")}
    path.with_name("other.keras").unlink()
    with zipfile.ZipFile(path, "w") as archive:
        for name, each in content.items():
            archive.writestr(name, each)


def saved_model_that_writes(folder: Path, witness: Path) -> None:
    """Puts a SavedModel in a folder's place that writes a file when it is asked."""
    import tensorflow as tf

    class Writing(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])  # type: ignore[untyped-decorator]
        def serve(self, text: Any) -> Any:
            with tf.control_dependencies([tf.io.write_file(str(witness), "written")]):
                return {"probability": tf.ones(tf.shape(text)), "label": tf.identity(text)}

    shutil.rmtree(folder)
    module = Writing()
    tf.saved_model.save(module, str(folder), signatures=module.serve)


def test_no_layer_and_no_graph_that_a_run_brings_along_is_run(finished: Path, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    keras = pytest.importorskip("keras")
    # As the job does, before the first operation.
    runtime.prepare_tensorflow()
    run, layer, graph = tmp_path / "run", tmp_path / "layer", tmp_path / "graph"
    shutil.copytree(finished, run)
    for name in ("rnn", "lstm"):
        keras_that_writes(run / name / "model.keras", layer)
    for name in ModelName:
        saved_model_that_writes(run / name / "saved_model", graph)
    rehash(run)
    # This is what they would do.
    with contextlib.suppress(ValueError):
        keras.saving.load_model(run / "rnn" / "model.keras", safe_mode=False)
    tf.saved_model.load(str(run / "rnn" / "saved_model")).signatures["serving_default"](text=tf.constant(["a"]))
    assert layer.exists()
    assert graph.exists()
    layer.unlink()
    graph.unlink()
    verified = VerifiedRun.verify(run)
    for name in ModelName:
        mine, theirs = (
            predict.load(each, name).probabilities(["the film is superb"]) for each in (VerifiedRun.verify(finished), verified)
        )
        np.testing.assert_array_equal(mine, theirs)
        card.render(FinishedRun.of_verified(verified), name)
    (tmp_path / "a.csv").write_bytes(table(rows()))
    evaluate.evaluate(run, source(tmp_path / "a.csv", tmp_path / "cache"))
    report.write([run])
    assert not layer.exists()
    assert not graph.exists()
