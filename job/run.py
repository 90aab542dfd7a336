"""The job: data, device, one training after another, evaluation, results. Ties the parts together."""

from dataclasses import asdict
from typing import Any

import numpy as np

import job
from job import device as devices
from job import environment, evaluation, provenance
from job.artifacts import Output, Result, validate
from job.config import Architecture, Configuration, PresetName, fingerprint
from job.data import batches
from job.data.corpus import Corpus, load
from job.errors import ConfigurationError, DataError, DeviceError, DivergedError
from job.progress import Reporter
from job.schema import SCHEMA_VERSION, check_schema
from job.trial import Trial, parts


def plan(configuration: Configuration) -> dict[str, Any]:
    """What a job would do, as JSON values: the resolved configuration and its trainings. Reads and writes nothing."""
    source = configuration.source
    return {
        "preset": str(configuration.preset),
        "data": source.name,
        "text_column": source.text_column,
        "label_column": source.label_column,
        "distance": source.distance if source.name == "embedded" else None,
        "device": str(configuration.device),
        "require_fast_kernel": configuration.require_fast_kernel,
        "output": str(configuration.output),
        "cache": str(source.cache),
        "hyperparameters": {str(name): asdict(values) for name, values in configuration.hyperparameters.items()},
        "trainings": [
            {"architecture": str(name), "seed": seed}
            for name in configuration.hyperparameters
            for seed in range(configuration.seeds)
        ],
    }


def train(configuration: Configuration, reporter: Reporter, fresh: bool) -> dict[str, Any]:
    """Runs the job to its end and returns the content of metrics.json.

    Every `JobError` of the contract can come out of it.
    """
    output = Output(configuration.output)
    output.prepare()
    if output.is_lost_with_container():
        reporter.message(
            f'warning: {configuration.output} is inside the container and is lost with it; mount a folder there (docker: -v "$PWD/output:{configuration.output}")'
        )
    with environment.prepared(configuration.output, configuration.source.cache):
        return _train(configuration, output, fresh, reporter)


def _train(configuration: Configuration, output: Output, fresh: bool, reporter: Reporter) -> dict[str, Any]:
    corpus = load(configuration.source)
    identity = configuration.identity(corpus.sha256)
    wanted = [(name, seed) for name in configuration.hyperparameters for seed in range(configuration.seeds)]

    def complete() -> dict[str, Any] | None:
        finished = _finished(output, identity, fresh)
        if finished is None or not set(wanted) <= set(finished):
            return None
        reporter.message(f"{configuration.output} already holds this run, finished; nothing to do")
        return output.read_json("metrics.json")

    metrics = complete()
    if metrics is not None and not output.has_leftovers():
        return metrics
    with output.locked(reporter.message):
        # Once more: what was waited for may have finished the run.
        metrics = complete() if metrics is None else metrics
        output.sweep()
        return _train_all(configuration, output, corpus, identity, wanted, fresh, reporter) if metrics is None else metrics


def _train_all(
    configuration: Configuration,
    output: Output,
    corpus: Corpus,
    identity: dict[str, Any],
    wanted: list[tuple[Architecture, int]],
    fresh: bool,
    reporter: Reporter,
) -> dict[str, Any]:
    finished = _finished(output, identity, fresh)
    if fresh and finished is None:
        output.discard()
    device = devices.select(configuration.device, configuration.require_fast_kernel)
    kernels = {name: devices.kernel(device, name, values.activation) for name, values in configuration.hyperparameters.items()}
    slow = [str(name) for name, kernel in kernels.items() if kernel == "while_loop"]
    if configuration.require_fast_kernel and slow:
        raise DeviceError(
            f"--require-fast-kernel: {' and '.join(slow)} would run in TensorFlow's loop over time steps on this {device['type']}; leave the option out to train so"
        )
    versions = provenance.versions()
    run = {
        "version": job.__version__,
        "state": "training",
        "identity": identity,
        "fingerprint": fingerprint(identity),
        "configuration": plan(configuration),
        "device": device,
        "versions": versions,
        "source_revision": provenance.revision(),
        "files": None,
    }
    output.write_run(run)
    place = f"{device['type']} ({device['name']}, {device['cores']} cores, TensorFlow {versions['tensorflow']})"
    results: dict[str, dict[int, Result]] = {str(name): {} for name in configuration.hyperparameters}
    for (name, seed), result in (finished or {}).items():
        results[name][seed] = result
        # Replacing a finished run's files begins with its metrics.json; a kill amid that must not cost its seeds.
        output.save_result(name, seed, result)
    saved, spent = 0, 0.0
    for name, seed in wanted:
        if seed in results[name]:
            continue
        kept = output.load_result(name, seed, reporter.message)
        if kept is None:
            checkpoints = output.checkpoints(name, seed, reporter.message)
            trial = Trial(name, seed, configuration.hyperparameters[name], corpus, device, place, kernels[name])
            kept = trial.run(checkpoints, reporter)
            output.save_result(name, seed, kept)
            checkpoints.clear()
            saved, spent = saved + checkpoints.count, spent + checkpoints.seconds
        results[name][seed] = kept
    trained = sum(result.record["seconds"] for runs in results.values() for result in runs.values())
    reporter.message(
        f"peak memory {provenance.peak_memory_bytes() / 2**20:,.0f} MiB; {saved} checkpoints took {spent:.2f} s"
        + (f", {spent / trained:.2%} of training" if trained else "")
    )
    return _finish(configuration, corpus, output, run, results)


def _finished(output: Output, identity: dict[str, Any], fresh: bool) -> dict[tuple[Architecture, int], Result] | None:
    """The results of a finished run in this folder, by architecture and seed; None where there is none.

    Raises:
        ConfigurationError: The folder holds a run of another configuration, and it is not to be discarded.
        DataError: A file of the finished run is missing or was changed.
    """
    if fresh and not output.is_finished():
        return None
    run, metrics = output.read_json("run.json"), output.read_json("metrics.json")
    if run is None and metrics is None:
        return None
    there = (run or {}).get("identity")
    if there != identity:
        what = _difference(there, identity)
        mend = "choose another --output" + ("" if metrics else ", or pass --fresh to discard the unfinished run")
        raise ConfigurationError(
            f"{output.folder} holds {'a finished' if metrics else 'an unfinished'} run of another configuration ({what}); {mend}"
        )
    if metrics is None:
        return None
    if fresh:
        raise ConfigurationError(
            f"{output.folder}: --fresh discards unfinished runs only, and this one is finished; choose another --output, or remove the folder"
        )
    try:
        validate(output.folder)
    except DataError as error:
        raise DataError(f"{error}; remove the folder and run again, or choose another --output") from None
    predictions = output.read_predictions()
    results = {}
    for name, entry in metrics["architectures"].items():
        history = output.read_history(name)
        for record in entry["runs"]:
            seed = record["seed"]
            probabilities = predictions.get((name, seed), np.empty(0, np.float32))
            results[Architecture(name), seed] = Result(record, history.get(seed, []), probabilities, None)
    return results


def _difference(there: Any, here: dict[str, Any]) -> str:
    """The first setting in which two identities differ, in words."""
    if not isinstance(there, dict):
        return "it tells none"
    for key in ("preset", "data"):
        if there.get(key) != here[key]:
            return f"its {key} is {str(there.get(key))[:16]}, here {str(here[key])[:16]}"
    old, new = there.get("hyperparameters", {}), here["hyperparameters"]
    if set(old) != set(new):
        return f"its architectures are {' '.join(sorted(old))}, here {' '.join(sorted(new))}"
    for name in new:
        for key, value in new[name].items():
            if old[name].get(key) != value:
                return f"{name}: its {key} is {old[name].get(key)}, here {value}"
    return "its settings are of another version"


def _best_seed(results: dict[int, Result]) -> int | None:
    """The seed with the best validation loss; the first where there is no validation; None where all diverged."""
    finished = [seed for seed in sorted(results) if results[seed].record["status"] == "finished"]
    if not finished:
        return None

    def loss(seed: int) -> float:
        validation = results[seed].record["validation"]
        return float(validation["loss"]) if validation else 0.0

    return min(finished, key=loss)


def _finish(
    configuration: Configuration,
    corpus: Corpus,
    output: Output,
    run: dict[str, Any],
    results: dict[str, dict[int, Result]],
) -> dict[str, Any]:
    from job import models

    architectures: dict[str, Any] = {}
    networks: dict[str, Any] = {}
    for name, values in configuration.hyperparameters.items():
        runs = results[name]
        best = _best_seed(runs)
        records = [runs[seed].record for seed in sorted(runs)]
        accuracies = [record["test"]["accuracy"] for record in records if record["test"]]
        architectures[str(name)] = {
            "best_seed": best,
            "runs": records,
            "summary": {"test_accuracy": evaluation.summarize(accuracies)},
        }
        networks[str(name)] = None
        # Without weights here, the best seed's are those of the model that the finished run left.
        if best is not None and runs[best].weights is not None:
            networks[str(name)] = models.build(name, values, best)
            networks[str(name)].set_weights(runs[best].weights)
    seed_preset = configuration.preset is PresetName.seed
    places = parts(corpus, next(iter(configuration.hyperparameters.values())))
    metrics = {
        "schema_version": SCHEMA_VERSION,
        "preset": str(configuration.preset),
        "data": {
            "name": corpus.name,
            "sha256": corpus.sha256,
            "train_reviews": len(places[0]),
            "validation_reviews": len(places[1]),
            "test_reviews": len(places[2]),
            "vocabulary": len(corpus.words),
            "own_test_part": corpus.own_test_part,
        },
        "device": run["device"],
        "architectures": architectures,
        "comparison": None,
        "baseline": None,
        "reproduction": evaluation.reproduce(architectures) if seed_preset else None,
    }
    lost = [name for name, entry in architectures.items() if entry["best_seed"] is None]
    if lost:
        raise DivergedError(
            f"every run of {' and '.join(lost)} diverged ({results[lost[0]][0].record['diverged']}); lower --learning-rate and pass --fresh"
        )
    check_schema(metrics)
    extra: dict[str, Any] = {"vocabulary.json": corpus.words}
    if seed_preset:
        extra["word_index.json"] = batches.used_word_index(
            corpus, np.concatenate(places), next(iter(configuration.hyperparameters.values())).vocabulary_size
        )
    output.finish(metrics, run, corpus.labels[places[2]], networks, results, extra)
    return metrics
