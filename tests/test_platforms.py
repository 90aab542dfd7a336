"""Platforms that start the job: what they say, in their own layout of folders and variables, is what the job does."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from job import platforms
from job.commands import delivery
from job.errors import ConfigurationError
from tests.conftest import ROOT, rows, table

SAGEMAKER = {"TRAINING_JOB_NAME": "mine-2026-11-27", "TRAINING_JOB_ARN": "arn:aws:sagemaker:eu-west-1:0:training-job/mine"}


def sagemaker(
    root: Path, hyperparameters: dict[str, str], hosts: tuple[str, ...] = ("algo-1",), current: str = "algo-1"
) -> Path:
    """What SageMaker mounts into a training container: /opt/ml below `root`."""
    folder = root / "opt/ml"
    for name in ("input/config", "input/data/train", "model", "output/data"):
        (folder / name).mkdir(parents=True)
    config = folder / "input/config"
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    (config / "inputdataconfig.json").write_text(json.dumps({"train": {"TrainingInputMode": "File"}}))
    (config / "resourceconfig.json").write_text(json.dumps({"current_host": current, "hosts": hosts, "network_interface_name": "eth0"}))  # fmt: skip
    return folder


def settings(root: Path, environment: dict[str, str]) -> dict[str, str]:
    found = platforms.find(environment, root)
    assert found is not None
    return found.settings


def test_elsewhere_nothing_is_adopted(tmp_path: Path) -> None:
    assert platforms.find({}, tmp_path) is None
    # Others than SageMaker may set a variable of that name.
    assert platforms.find(SAGEMAKER, tmp_path) is None


def test_sagemaker_s_channels_and_hyperparameters_are_options(tmp_path: Path) -> None:
    # As its own library writes them, which encodes each as JSON, and as a plain request does.
    values = {
        "preset": '"standard"', "seeds": "3", "learning-rate": "0.001", "architecture": '["rnn", "lstm"]', "no_header": "true",
        "sagemaker_region": '"eu-west-1"', "_tuning_objective_metric": "loss",
    }  # fmt: skip
    folder = sagemaker(tmp_path, values)
    (folder / "input/data/train/reviews.csv").write_text("text,label\n")
    (folder / "input/data/test/neg").mkdir(parents=True)
    (folder / "input/data/test/pos").mkdir()
    assert settings(tmp_path, SAGEMAKER) == {
        "JOB_OUTPUT": f"{folder}/output/data",
        "JOB_DATA": f"{folder}/input/data/train/reviews.csv",
        "JOB_TEST_DATA": f"{folder}/input/data/test",
        "JOB_PRESET": "standard",
        "JOB_SEEDS": "3",
        "JOB_LEARNING_RATE": "0.001",
        "JOB_ARCHITECTURE": "rnn lstm",
        "JOB_NO_HEADER": "true",
    }
    # With checkpoints kept beyond the machine, the run is there.
    (folder / "checkpoints").mkdir()
    assert settings(tmp_path, SAGEMAKER)["JOB_OUTPUT"] == f"{folder}/checkpoints"


def test_several_machines_of_sagemaker_are_a_group(tmp_path: Path) -> None:
    sagemaker(tmp_path, {}, ("algo-1", "algo-2", "algo-3"), "algo-2")
    found = settings(tmp_path, SAGEMAKER)
    assert (found["JOB_WORKER"], found["JOB_HOSTS"]) == ("1/3", "algo-1:2222,algo-2:2222,algo-3:2222")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seedz": "3"}, "there is no option seedz; did you mean seeds?"),
        ({"n_estimators": "3"}, "there is no option n_estimators; expected options of train"),
    ],
)
def test_a_hyperparameter_that_is_none_is_an_error(values: dict[str, str], said: str, tmp_path: Path) -> None:
    sagemaker(tmp_path, values)
    with pytest.raises(ConfigurationError, match=said):
        platforms.find(SAGEMAKER, tmp_path)


def test_what_the_user_says_counts_first_and_only_training_adopts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sagemaker(tmp_path, {"seeds": "3", "units": "8"})
    # The second is the image's own.
    said = {"JOB_SEEDS": "7", "JOB_OUTPUT": "/output"}
    environment = SAGEMAKER | said
    platforms.adopt(["predict", "run"], environment, tmp_path)
    assert environment == SAGEMAKER | said
    with caplog.at_level(logging.INFO):
        platforms.adopt(["train"], environment, tmp_path)
    assert (environment["JOB_SEEDS"], environment["JOB_UNITS"]) == ("7", "8")
    assert environment["JOB_OUTPUT"] == f"{tmp_path}/opt/ml/output/data"
    (line,) = [each.message for each in caplog.records]
    assert line.startswith("SageMaker: JOB_OUTPUT=")
    assert line.endswith(f"; the model goes to {tmp_path}/opt/ml/model/1")


def test_the_image_sets_what_a_platform_may_set() -> None:
    text = (ROOT / "docker" / "Dockerfile").read_text()
    assert {name: f"{name}={value}" in text for name, value in platforms._OF_THE_IMAGE.items()} == {"JOB_OUTPUT": True}


def test_a_failure_is_left_where_sagemaker_shows_it(tmp_path: Path) -> None:
    # Whatever is wrong with its settings.
    folder = sagemaker(tmp_path, {"seedz": "3"})
    platforms.leave_failure("error " + "x" * 2000, SAGEMAKER, tmp_path)
    assert (folder / "output/failure").read_text() == "error " + "x" * 1018
    platforms.leave_failure("error", {}, tmp_path)


def test_vertex_s_folders_may_be_local_or_buckets_that_are_mounted(tmp_path: Path) -> None:
    variables = {
        "AIP_MODEL_DIR": "gs://bucket/base/model/", "AIP_CHECKPOINT_DIR": "gs://bucket/base/checkpoints/",
        "AIP_TENSORBOARD_LOG_DIR": str(tmp_path / "logs"), "CLOUD_ML_JOB_ID": "1",
        "TF_CONFIG": '{"cluster": {"chief": ["127.0.0.1:2222"]}, "environment": "cloud", "task": {"type": "chief", "index": 0}}',
    }  # fmt: skip
    with pytest.raises(
        ConfigurationError, match=r"AIP_MODEL_DIR=gs://bucket/base/model/: .*/gcs/bucket is not there; expected"
    ):
        platforms.find(variables, tmp_path)
    (tmp_path / "gcs/bucket").mkdir(parents=True)
    found = platforms.find(variables, tmp_path)
    assert found is not None
    base = tmp_path / "gcs/bucket/base"
    assert (found.settings, found.model) == ({"JOB_OUTPUT": str(base / "checkpoints")}, base / "model")
    assert found.tensorboard == tmp_path / "logs"
    del variables["AIP_CHECKPOINT_DIR"]
    assert settings(tmp_path, variables) == {"JOB_OUTPUT": str(base / "run")}


def test_a_finished_run_s_model_and_events_are_delivered_and_again(finished: Path, tmp_path: Path) -> None:
    model, events = tmp_path / "bucket" / "model", tmp_path / "logs"
    for _ in range(2):
        delivery.deliver(finished, model, events)
        assert (model / "saved_model.pb").read_bytes() in [each.read_bytes() for each in finished.glob("*/saved_model/saved_model.pb")]  # fmt: skip
        assert {"variables", "saved_model.pb"} <= {each.name for each in model.iterdir()}
        assert [*events.rglob("events.*")]


@pytest.mark.long
def test_a_job_of_vertex_ends_with_its_model_where_it_is_looked_for(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    (tmp_path / "own.csv").write_bytes(table(rows(200)))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JOB_")}
    variables = {f"AIP_{name}": str(tmp_path / name.lower()) for name in ("MODEL_DIR", "CHECKPOINT_DIR", "TENSORBOARD_LOG_DIR")}
    arguments: list[Any] = ["--preset", "quickstart", "--data", tmp_path / "own.csv", "--architecture", "rnn", "--units", "4", "--epochs", "1"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "job", "train", *map(str, arguments), "--cache", str(tmp_path / "cache"), "--log-format", "json"],
        cwd=ROOT, env=clean | variables, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"Vertex AI: JOB_OUTPUT={tmp_path}/checkpoint_dir; the model goes to {tmp_path}/model_dir" in done.stderr
    assert (tmp_path / "checkpoint_dir/metrics.json").exists()
    assert (tmp_path / "model_dir/saved_model.pb").exists()
    assert [*(tmp_path / "tensorboard_log_dir").rglob("events.*")]
    # Where lines are JSON, the last word on standard output is, too.
    told = json.loads(done.stdout)
    assert (told["event"], told["output"]) == ("summary", f"{tmp_path}/checkpoint_dir")
    assert set(told["test_accuracy"]) >= {"rnn", "baseline"}
    shutil.rmtree(tmp_path / "cache")
