"""The command as users run it: exit codes, messages, files."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, SMALL, Command, rows, table, train_here, write_imdb


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_leaves_the_files_of_the_contract(finished: Path) -> None:
    exported = ["fingerprint.pb", "saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"]
    models = ["README.md", "history.csv", "model.keras", *(f"saved_model/{each}" for each in exported)]
    others = [
        "examples.json",
        "metrics.json",
        "predictions.csv",
        "report.html",
        "run.json",
        "training_hashes.npy",
        "validation_predictions.csv",
        "vocabulary.json",
    ]
    left = [name for name in tree(finished) if not name.startswith("tensorboard/")]
    linear = [f"{name}/{each}" for name in ("baseline", "ensemble") for each in ("README.md", "model.safetensors", *(f"saved_model/{part}" for part in exported))]  # fmt: skip
    assert sorted(left) == sorted([*others, *linear, *(f"{name}/{each}" for name in ("rnn", "lstm") for each in models)])
    events = [name.rsplit("/", 1)[0] for name in tree(finished) if name.startswith("tensorboard/")]
    assert events == [f"tensorboard/{name}/seed-{seed}" for name in ("lstm", "rnn") for seed in (0, 1)]
    # All of it is known by its hash.
    assert set(read(finished / "run.json")["files"]) == set(tree(finished)) - {"run.json"}


def test_the_metrics_tell_what_the_files_hold(finished: Path) -> None:
    metrics = read(finished / "metrics.json")
    with (finished / "predictions.csv").open(newline="") as stream:
        predictions = list(csv.DictReader(stream))
    assert len(predictions) == 6 * metrics["data"]["test_reviews"] == 12_000
    right: dict[str, list[Any]] = {}
    for name, entry in metrics["architectures"].items():
        assert [run["seed"] for run in entry["runs"]] == [0, 1]
        losses = [run["validation"]["loss"] for run in entry["runs"]]
        assert entry["best_seed"] == losses.index(min(losses))
        assert entry["summary"]["test_accuracy"]["ci95"] is not None
        for run in entry["runs"]:
            mine = [row for row in predictions if (row["architecture"], row["seed"]) == (name, str(run["seed"]))]
            right.setdefault(name, []).append([(float(row["probability"]) > 0.5) == (row["label"] == "1") for row in mine])
            assert run["test"]["accuracy"] == pytest.approx(np.mean(right[name][-1]), abs=1e-9)
            probabilities, labels = (np.array([float(row[key]) for row in mine]) for key in ("probability", "label"))
            assert run["test"]["brier"] == pytest.approx(np.mean((probabilities - labels) ** 2), abs=1e-6)
            bins = run["calibration"]["bins"]
            assert sum(each["reviews"] for each in bins) == 2000
            assert sum(each["reviews"] * each["observed"] for each in bins) == pytest.approx(labels.sum())
            assert run["kernel"] == "xla"
    comparison, baseline = metrics["comparison"], metrics["baseline"]
    assert comparison["of"] == ["lstm", "rnn"]
    assert comparison["difference"] == pytest.approx(np.mean(right["lstm"]) - np.mean(right["rnn"]), abs=1e-9)
    assert comparison["test"].startswith("t test")
    assert comparison["verdict"].endswith(baseline["verdict"])
    # The embedded corpus is made so that no bag of word pairs can tell its labels.
    assert baseline["test"]["accuracy"] == pytest.approx(0.5, abs=0.05)
    assert baseline["bigrams"]["accuracy"] == pytest.approx(0.5, abs=0.05)
    for name, entry, mine in (
        ("baseline", baseline, predictions[-4000:-2000]),
        ("ensemble", metrics["ensemble"], predictions[-2000:]),
    ):
        assert {(row["architecture"], row["seed"]) for row in mine} == {(name, "0")}
        right[name] = [(float(row["probability"]) > 0.5) == (row["label"] == "1") for row in mine]
        assert entry["test"]["accuracy"] == pytest.approx(np.mean(right[name]), abs=1e-9)
    members = {each["name"]: each for each in metrics["ensemble"]["members"]}
    assert {name: each["seeds"] for name, each in members.items()} == {"rnn": [0, 1], "lstm": [0, 1], "baseline": []}
    assert sum(each["weight"] for each in members.values()) == pytest.approx(1, abs=0.002)
    assert metrics["ensemble"]["comparisons"]["lstm"]["difference"] == pytest.approx(
        np.mean(right["ensemble"]) - np.mean(right["lstm"]), abs=1e-9
    )
    with (finished / "validation_predictions.csv").open(newline="") as stream:
        validation = list(csv.DictReader(stream))
    assert list(validation[0]) == list(predictions[0])
    assert len(validation) == 6 * metrics["data"]["validation_reviews"]
    for name, seed, expected in [
        *((name, run["seed"], run["validation"]) for name, entry in metrics["architectures"].items() for run in entry["runs"]),
        ("ensemble", 0, metrics["ensemble"]["validation"]),
    ]:
        held = [row for row in validation if (row["architecture"], row["seed"]) == (name, str(seed))]
        told = np.mean([(float(row["probability"]) > 0.5) == (row["label"] == "1") for row in held])
        assert expected["accuracy"] == pytest.approx(told, abs=1e-9)
    assert baseline["comparisons"]["rnn"]["difference"] == pytest.approx(
        np.mean(right["rnn"]) - np.mean(right["baseline"]), abs=1e-9
    )


def test_every_look_at_the_test_data_is_on_record(finished: Path) -> None:
    looks = read(finished / "run.json")["test_set_looks"]
    purposes = [look["for"] for look in looks]
    # Side by side, the trainings and the baseline end in any order.
    networks = [f"scores of {name}, seed {seed}" for name in ("lstm", "rnn") for seed in (0, 1)]
    assert sorted(purposes[:-1]) == [*networks, "scores of the baseline"]
    assert purposes[-1] == "scores of the ensemble"
    assert all(look["at"].endswith("+00:00") for look in looks)


def test_a_finished_run_is_success_at_once_and_nothing_is_written(command: Command, finished: Path) -> None:
    before = tree(finished)
    done = command("train", "--preset", "quickstart", "--output", finished, "--seeds", "2", *SMALL)
    assert done.returncode == 0
    assert "finished; nothing to do" in done.stderr
    assert tree(finished) == before


@pytest.mark.long
def test_seeds_can_be_added_and_the_earlier_ones_stay_as_they_were(command: Command, tmp_path: Path, finished: Path) -> None:
    arguments = ("train", "--preset", "quickstart", "--output", tmp_path / "o", *SMALL)
    assert command(*arguments, "--seeds", "1").returncode == 0
    first = read(tmp_path / "o" / "metrics.json")
    assert command(*arguments, "--seeds", "2").returncode == 0
    both = read(tmp_path / "o" / "metrics.json")
    reference = read(finished / "metrics.json")
    for name in ("rnn", "lstm"):
        assert both["architectures"][name]["runs"][0] == first["architectures"][name]["runs"][0]
        assert both["architectures"][name]["runs"][1]["test"] == reference["architectures"][name]["runs"][1]["test"]
    for file in ("predictions.csv", "validation_predictions.csv", "ensemble/model.safetensors"):
        assert (tmp_path / "o" / file).read_bytes() == (finished / file).read_bytes()
    assert both["ensemble"] == reference["ensemble"]
    assert command("validate", tmp_path / "o").returncode == 0
    assert {name for name in read(tmp_path / "o" / "run.json")["files"] if name.startswith("baseline/")} >= {
        "baseline/model.safetensors",
        "baseline/saved_model/saved_model.pb",
    }


def test_a_kill_while_seeds_are_added_costs_none_of_the_earlier_ones(
    tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow")
    from job.commands import validate
    from job.files import atomic
    from job.training import trial, work

    first = train_here(tmp_path, shared_cache)
    real = atomic.write

    def killed_at_the_predictions(path: Path, *arguments: Any) -> None:
        if path.name == "predictions.csv":
            raise KeyboardInterrupt
        real(path, *arguments)

    monkeypatch.setattr(atomic, "write", killed_at_the_predictions)
    with pytest.raises(KeyboardInterrupt):
        train_here(tmp_path, shared_cache, seeds=2)
    assert not (tmp_path / "metrics.json").exists()
    monkeypatch.setattr(atomic, "write", real)
    trained: list[int] = []

    def observed(task: trial.Task, *rest: Any) -> trial.Trial:
        trained.append(task.seed)
        return trial.Trial(task, *rest)

    monkeypatch.setattr(work, "Trial", observed)
    both = train_here(tmp_path, shared_cache, seeds=2)
    assert trained == []
    # Times included: it is the record of the first job, not a second training.
    assert both["architectures"]["rnn"]["runs"][0] == first["architectures"]["rnn"]["runs"][0]
    assert validate.validate(tmp_path) > 5


def test_another_configuration_s_output_is_refused(command: Command, finished: Path) -> None:
    before = tree(finished)
    done = command("train", "--preset", "quickstart", "--output", finished, "--seeds", "2", *SMALL, "--units", "9")
    assert done.returncode == 78
    assert "its units is 8, here 9" in done.stderr
    assert f"run the same command with --output {finished}-embedded" in done.stderr
    done = command("train", "--preset", "quickstart", "--output", finished, "--seeds", "2", *SMALL, "--fresh")
    assert done.returncode == 78
    assert tree(finished) == before


def test_own_data_after_a_quickstart_are_told_which_output_to_take(
    command: Command, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("output").symlink_to(finished)
    Path("My reviews.v2.csv").write_bytes(table(rows(60)))
    arguments = ("train", "--preset", "quickstart", "--data", "My reviews.v2.csv", *SMALL)
    done = command(*arguments)
    assert done.returncode == 78
    assert "output holds a finished run of another configuration (its data is " in done.stderr
    assert done.stderr.endswith("); run the same command with --output output-my-reviews\n")
    Path("output-my-reviews").mkdir()
    assert command(*arguments).stderr.endswith("run the same command with --output output-my-reviews-2\n")


def test_validate_finds_a_changed_or_missing_file(command: Command, finished: Path, tmp_path: Path) -> None:
    import shutil

    assert command("validate", finished).returncode == 0
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    (copy / "rnn" / "history.csv").write_text("changed")
    done = command("validate", copy)
    assert (done.returncode, "history.csv: was changed" in done.stderr) == (65, True)
    (copy / "rnn" / "history.csv").unlink()
    assert "is missing from the run" in command("validate", copy).stderr
    metrics = read(copy / "metrics.json")
    (copy / "metrics.json").write_text(json.dumps(metrics | {"preset": "other"}))
    assert "$.preset" in command("validate", copy).stderr
    (copy / "metrics.json").unlink()
    assert command("validate", copy).returncode == 66
    assert command("validate", tmp_path / "none").returncode == 66


@pytest.mark.parametrize("kind", ["train", "validate"])
@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("metrics.json", b"", 78, "cannot be read as a run's file"),
        ("metrics.json", b"[]", 78, "expected a JSON object"),
        ("metrics.json", b"{}", 65, "is a required property"),
        ("metrics.json", b'\xff', 78, "cannot be read as a run's file"),
        ("metrics.json", b"[" * 100_000, 78, "cannot be read as a run's file"),
        ("run.json", b"", 78, "cannot be read as a run's file"),
        ("run.json", b"{}", 78, "a finished run of another configuration (it holds none that this version knows)"),
        ("predictions.csv", b"", 65, "was changed since the run ended"),
        ("predictions.csv", None, 65, "is missing from the run"),
        ("lstm/history.csv", None, 65, "is missing from the run"),
        ("lstm/history.csv", b"a,b\n", 65, "was changed since the run ended"),
        ("rnn/model.keras", b"", 65, "was changed since the run ended"),
    ],
)  # fmt: skip
def test_a_run_with_a_spoiled_file_is_refused(
    name: str, content: bytes | None, code: int, message: str, kind: str, finished: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, shared_cache: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    import shutil

    from job import command_line

    output = tmp_path / "output"
    shutil.copytree(finished, output)
    (output / name).unlink()
    if content is not None:
        (output / name).write_bytes(content)
    train = ["train", "--preset", "quickstart", "--output", str(output), "--seeds", "3", "--cache", str(shared_cache), *SMALL]
    monkeypatch.setattr(sys, "argv", ["sentiment-job", *(train if kind == "train" else ["validate", str(output)])])
    before = tree(output)
    found = command_line.run()
    line = capsys.readouterr().err
    if kind == "train":
        assert (found, message in line) == (code, True), line
    else:
        assert found == 65, line
    assert len(line.splitlines()) == 1
    assert tree(output) == before


def test_a_model_predicts_what_the_predictions_say(finished: Path) -> None:
    keras = pytest.importorskip("keras")
    from job.data.corpus import load
    from job.machine import runtime
    from job.source import DataSource

    # As the job does, before the first operation.
    runtime.prepare_tensorflow()
    metrics, run = read(finished / "metrics.json"), read(finished / "run.json")
    corpus = load(DataSource(name="embedded", cache=Path(run["configuration"]["cache"])))
    indices = corpus.part("test")[:50]
    with (finished / "predictions.csv").open(newline="") as stream:
        predictions = list(csv.DictReader(stream))
    for name in ("rnn", "lstm"):
        model = keras.saving.load_model(finished / name / "model.keras")
        best = str(metrics["architectures"][name]["best_seed"])
        expected = [float(row["probability"]) for row in predictions if (row["architecture"], row["seed"]) == (name, best)][:50]
        for index, probability in zip(indices, expected, strict=True):
            assert model(corpus.review(int(index))[None])[0, 0].numpy() == pytest.approx(probability, abs=1e-5)


@pytest.mark.long
def test_an_interrupted_job_keeps_its_finished_runs_and_ends_with_143(
    tmp_path: Path, shared_cache: Path, finished: Path
) -> None:
    arguments = [
        sys.executable,
        "-m",
        "job",
        "train",
        "--preset",
        "quickstart",
        "--output",
        str(tmp_path),
        "--seeds",
        "2",
        *SMALL,
    ]
    environment = os.environ | {
        "JOB_CACHE": str(shared_cache),
        "PYTHONPATH": str(ROOT),
        "JOB_TERMINATION_LOG": str(tmp_path / "log"),
    }
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("checkpoints/rnn-0-result-*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert not (tmp_path / "metrics.json").exists()
    assert read(tmp_path / "run.json")["state"] == "training"
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "rnn seed 0: epoch" not in done.stderr
    assert (tmp_path / "predictions.csv").read_bytes() == (finished / "predictions.csv").read_bytes()
    assert (tmp_path / "log").read_text().startswith("finished: rnn test accuracy 0.")
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_during_start_up_ends_with_its_code(number: signal.Signals, code: int, tmp_path: Path) -> None:
    script = "import job.__main__, sys, time; from job import command_line; command_line.run = lambda: (print('up', flush=True), time.sleep(60)); job.__main__.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    assert process.wait(timeout=30) == code
    process.communicate()


BAD: list[tuple[list[str], int, str]] = [
    (["train", "--epochs", "0"], 78, "--epochs 0: expected 1 to 1000000"),
    (["train", "--batch-size", "-1"], 78, "--batch-size -1"),
    (["train", "--units", "0"], 78, "--units 0"),
    (["train", "--seeds", "0"], 78, "--seeds 0"),
    (["train", "--vocabulary-size", "4"], 78, "--vocabulary-size 4: expected 5 to 2147483647"),
    (["train", "--max-tokens", "1"], 78, "--max-tokens 1"),
    (["train", "--learning-rate", "0"], 78, "--learning-rate 0"),
    (["train", "--learning-rate", "nan"], 78, "--learning-rate nan"),
    (["train", "--distance", "5"], 78, "--distance is of the embedded corpus"),
    (["train", "--data", "embedded", "--distance", "1"], 78, "--distance 1: expected 2"),
    (["train", "--data", "embedded", "--text-column", "a"], 78, "--text-column: for files only, but --data is embedded"),
    (["train", "--device", "cpu", "--require-fast-kernel"], 78, "--require-fast-kernel is about a GPU"),
    (["train", "--preset", "other"], 2, "'other' is not one of"),
    (["train", "--epochs", "many"], 2, "Input should be a valid integer"),
    (["train", "--nonsense"], 2, "No such option"),
    (["nonsense"], 2, "No such command"),
    (["train", "--data", "no-such-file.csv"], 66, "cannot be read (No such file or directory); expected .csv"),
    (["validate", "no-such-folder"], 66, "no such folder"),
    (["data", "inspect", "--data", "no-such-file.csv"], 66, "cannot be read (No such file or directory); expected .csv"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "message"), BAD, ids=[" ".join(each[0]) for each in BAD])
def test_bad_usage_gets_one_line_and_its_exit_code(
    arguments: list[str], code: int, message: str, command: Command, tmp_path: Path
) -> None:
    output = ["--output", str(tmp_path / "output")] if arguments[0] == "train" else []
    done = command(*arguments, *output)
    assert done.returncode == code
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    if code != 2:
        assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "output" / "metrics.json").exists()


@pytest.mark.skipif(any(Path("/dev").glob("nvidia[0-9]*")), reason="a GPU is present")
def test_a_gpu_that_is_asked_for_and_not_there_is_69(command: Command, tmp_path: Path) -> None:
    for arguments in (
        ["train", "--preset", "quickstart", "--device", "gpu", "--output", tmp_path / "o"],
        ["train", "--preset", "quickstart", "--require-fast-kernel", "--output", tmp_path / "o"],
        ["check", "--require-gpu"],
    ):
        done = command(*arguments, env={"JOB_TERMINATION_LOG": str(tmp_path / "log")})
        assert done.returncode == 69
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert (tmp_path / "log").read_text() == done.stderr.splitlines()[-1]
    facts = json.loads(command("check", "--json").stdout)
    assert facts["works"] is None
    assert facts["tensorflow"].startswith("2.")


def test_an_output_that_cannot_be_written_is_73(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for output in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/output")):
        done = command("train", "--preset", "quickstart", "--output", output, *SMALL)
        assert (done.returncode, "Traceback" in done.stderr) == (73, False), done.stderr
        assert str(output) in done.stderr


def test_an_output_that_holds_something_else_is_78_and_stays(command: Command, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("no json")
    done = command("train", "--preset", "quickstart", "--output", tmp_path, *SMALL)
    assert (done.returncode, (tmp_path / "run.json").read_text()) == (78, "no json")


def test_every_option_can_be_set_by_the_environment(command: Command, tmp_path: Path) -> None:
    environment = {
        "JOB_PRESET": "quickstart", "JOB_OUTPUT": str(tmp_path / "there"), "JOB_ARCHITECTURE": "rnn lstm", "JOB_SEEDS": "3", "JOB_EPOCHS": "7",
        "JOB_BATCH_SIZE": "11", "JOB_UNITS": "5", "JOB_VOCABULARY_SIZE": "77", "JOB_MAX_TOKENS": "44", "JOB_LEARNING_RATE": "0.5",
        "JOB_DATA": "embedded", "JOB_DISTANCE": "4", "JOB_DEVICE": "cpu", "JOB_LOG_FORMAT": "json",
    }  # fmt: skip
    done = command("train", "--dry-run", env=environment)
    plan = json.loads(done.stdout)
    assert (plan["preset"], plan["output"], plan["distances"], plan["device"]) == (
        "quickstart",
        str(tmp_path / "there"),
        [4],
        "cpu",
    )
    assert len(plan["trainings"]) == 6
    values = plan["hyperparameters"]["lstm"]
    expected = {"epochs": 7, "batch_size": 11, "units": 5, "vocabulary_size": 77, "max_tokens": 44, "learning_rate": 0.5}
    assert {key: values[key] for key in expected} == expected
    assert not (tmp_path / "there").exists()
    done = command("train", "--dry-run", env={"JOB_PRESET": "dependency", "JOB_DISTANCE": "50 4"})
    plan = json.loads(done.stdout)
    assert (plan["distances"], plan["seeds"], list(plan["remedies"])) == ([4, 50], 3, ["rnn", "lstm"])


def test_json_lines_are_json_and_nothing_else(command: Command, tmp_path: Path) -> None:
    small = ("--epochs", "1", "--units", "8", "--batch-size", "256")
    arguments = ("train", "--preset", "quickstart", "--output", tmp_path, "--architecture", "rnn", "--log-format", "json")
    # With the default --device and a cache of its own: what a plain CPU and an empty cache have to say is JSON, too.
    done = command(*arguments, *small, "--cache", tmp_path / "cache")
    events = [json.loads(line) for line in done.stderr.splitlines()]
    told = [event for event in events if event.get("level") != "warning"]
    phases = [event["phase"] for event in told if event["event"] == "phase"]
    assert (phases[0], phases[-1]) == ("reading the data", "writing the results")
    told = [event for event in told if event["event"] != "phase"]
    assert [event["event"] for event in told] == ["start", "epoch", "message", "message", "message"]
    assert told[1]["architecture"] == "rnn"
    warned = [event["message"] for event in events if event.get("level") == "warning"]
    assert all(each.startswith("warning: training on the CPU") for each in warned)
    _, error = (json.loads(line) for line in command(*arguments, "--units", "9").stderr.splitlines())
    assert (error["event"], error["exit_code"]) == ("error", 78)
    assert error["message"].startswith("error: ")
    metrics = read(tmp_path / "metrics.json")
    assert list(metrics["architectures"]) == ["rnn"]
    assert metrics["architectures"]["rnn"]["summary"]["test_accuracy"]["sd"] is None


def test_the_tutorial_s_recipe_on_data_in_its_format(command: Command, tmp_path: Path) -> None:
    path = write_imdb(tmp_path)
    output = tmp_path / "output"
    done = command("train", "--preset", "seed", "--data", path, "--output", output, "--seeds", "2", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    metrics = read(output / "metrics.json")
    for name, parameters in (("rnn", 111_141), ("lstm", 407_841)):
        runs = metrics["architectures"][name]["runs"]
        assert [run["parameters"] for run in runs] == [parameters] * 2
        assert [run["validation"] for run in runs] == [None, None]
        assert [(run["train_reviews"], run["test_reviews"], run["epochs"]) for run in runs] == [(100, 100, 2)] * 2
        assert metrics["architectures"][name]["best_seed"] == 0
    assert metrics["reproduction"]["rnn"]["published"]["test"] == {"loss": 25.502, "accuracy": 0.53}
    assert "standard errors from guessing on 100 reviews" in metrics["reproduction"]["sentence"]
    index = read(output / "word_index.json")
    assert {index[token] for token in ("<PAD>", "<START>", "<UNK>", "<UNUSED>")} == {0, 1, 2, 3}
    assert index["w4"] == 4
    assert command("validate", output).returncode == 0


def test_a_team_s_own_texts_are_trained_on(command: Command, tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_bytes(
        table([(f"{text} {n}", label) for n, (text, label) in enumerate(rows(400))], header=("Body", "Stars"))
    )
    (tmp_path / "more.txt").write_text("a review without a label\n\nreview 0 is bad 0\n")
    own = ("--data", tmp_path / "own.csv", "--unlabelled", tmp_path / "more.txt")
    done = command("train", *own, "--output", tmp_path / "o", "--architecture", "rnn", *SMALL)
    assert done.returncode == 0, done.stderr
    data = read(tmp_path / "o" / "metrics.json")["data"]
    assert data["own_test_part"] is False
    counted = [data[f"{part}_reviews"] for part in ("train", "validation", "test", "unlabelled", "left_out")]
    assert sum(counted) == data["reading"]["rows"] == 403
    assert counted[3:] == [1, 2]
    assert f"--data {tmp_path}/own.csv --unlabelled {tmp_path}/more.txt" in (tmp_path / "o" / "report.html").read_text()


def test_inspect_tells_counts_and_faults(command: Command, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table([*rows(), ("", "neg"), rows()[0]]))
    done = command("data", "inspect", "--data", tmp_path / "a.csv")
    assert done.returncode == 0
    assert "1 train text repeats another one" in done.stdout
    assert "empty" in done.stdout
    report = json.loads(command("data", "inspect", "--data", "embedded", "--json").stdout)
    assert report["train"]["reviews"] == 20_000


def test_of_several_processes_that_want_the_same_data_one_makes_them(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_bytes(table(rows(200)))
    environment = os.environ | {"JOB_CACHE": str(tmp_path / "cache"), "JOB_DATA": str(tmp_path / "own.csv")}
    # What encodes says so; it takes a second, in which the others come.
    script = (
        "import sys, time; from job.data import corpus; encode = corpus.encode\n"
        "def slow(*arguments): print('encoding'); time.sleep(2); encode(*arguments)\n"
        "corpus.encode = slow; sys.argv = ['x', 'data', 'fetch']; from job.__main__ import main; main()"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(lines[0] == "encoding" for lines in said) == [False, False, True]
    assert len({lines[-1] for lines in said}) == 1
    assert said[0][-1].startswith(f"{tmp_path / 'own.csv'}: encoded in {tmp_path / 'cache'}")
    assert list((tmp_path / "cache" / "unfinished").iterdir()) == []


def test_a_cache_that_cannot_be_filled_is_73(command: Command, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    done = command("data", "fetch", "--preset", "quickstart", "--cache", tmp_path / "cache")
    assert (done.returncode, "name another folder with --cache" in done.stderr) == (73, True)


def test_imdb_without_a_network_is_75_and_tells_what_to_do(command: Command, tmp_path: Path) -> None:
    # A port on loopback that nobody listens on stands for a network that is not there.
    proxy = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    done = command("data", "fetch", "--cache", tmp_path, env=proxy)
    assert done.returncode == 75
    for part in ("imdb.npz", str(tmp_path), "--data PATH", "--data embedded"):
        assert part in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_wrong_file_in_the_cache_is_refused(command: Command, tmp_path: Path) -> None:
    write_imdb(tmp_path)
    done = command("train", "--preset", "seed", "--cache", tmp_path, "--output", tmp_path / "o")
    assert (done.returncode, "is not Keras's file" in done.stderr) == (65, True)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["train", "--nonsense"], ["train", "--epochs", "0"], []]
)
def test_help_and_usage_errors_do_not_import_tensorflow(arguments: list[str]) -> None:
    script = (
        "import sys; from job import command_line; command_line.run();"
        "heavy = {'tensorflow', 'keras', 'numpy', 'sklearn', 'pyarrow', 'requests', 'scipy'} & set(sys.modules); print('heavy:', heavy, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "heavy: set()"
