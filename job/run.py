"""The job: data, device, one training after another, evaluation, results. Ties the parts together."""

from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import job
from job import device as devices
from job import evaluation, provenance
from job.artifacts import Output, Result
from job.config import Architecture, Configuration, Hyperparameters, PresetName, fingerprint
from job.data import batches
from job.data.corpus import Corpus, load
from job.errors import ConfigurationError, DataError, DeviceError, DivergedError
from job.progress import Reporter
from job.schema import SCHEMA_VERSION, check_schema

_EVALUATION_BATCH = 256


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
    if fresh and not output.is_finished():
        output.discard()
    corpus = load(configuration.source)
    identity = configuration.identity(corpus.sha256)
    finished = _finished(output, identity, fresh)
    wanted = [(name, seed) for name in configuration.hyperparameters for seed in range(configuration.seeds)]
    if finished is not None and set(wanted) <= set(finished):
        metrics = output.read_json("metrics.json")
        assert metrics is not None
        reporter.message(f"{configuration.output} already holds this run, finished; nothing to do")
        return metrics

    device = devices.select(configuration.device, configuration.require_fast_kernel)
    kernels = {name: devices.kernel(device, name, values.activation) for name, values in configuration.hyperparameters.items()}
    slow = [str(name) for name, kernel in kernels.items() if kernel == "while_loop"]
    if configuration.require_fast_kernel and slow:
        raise DeviceError(
            f"--require-fast-kernel: {' and '.join(slow)} would run in TensorFlow's loop over time steps on this {device['type']}; leave the option out to train so"
        )
    run = {
        "version": job.__version__,
        "state": "training",
        "identity": identity,
        "fingerprint": fingerprint(identity),
        "configuration": plan(configuration),
        "device": device,
        "versions": provenance.versions(),
        "source_revision": provenance.revision(),
        "files": None,
    }
    output.write_run(run)
    results: dict[str, dict[int, Result]] = {str(name): {} for name in configuration.hyperparameters}
    for (name, seed), result in (finished or {}).items():
        results[name][seed] = result
        # Replacing a finished run's files begins with its metrics.json; a kill amid that must not cost its seeds.
        output.save_result(name, seed, result)
    for name, seed in wanted:
        if seed in results[name]:
            continue
        kept = output.load_result(name, seed)
        if kept is None:
            kept = _train_one(configuration, corpus, name, seed, device, kernels[name], reporter)
            output.save_result(name, seed, kept)
        results[name][seed] = kept
    return _finish(configuration, corpus, output, run, results, reporter)


def _finished(output: Output, identity: dict[str, Any], fresh: bool) -> dict[tuple[Architecture, int], Result] | None:
    """The results of a finished run in this folder, by architecture and seed; None where there is none.

    Raises:
        ConfigurationError: The folder holds a run of another configuration.
    """
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


def _reviews(corpus: Corpus, values: Hyperparameters) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Places of the training, validation and test reviews."""
    if values.first_reviews:
        train, test = batches.keras_shuffle(corpus, values.first_reviews)
        return train, train[:0], test
    train, validation = corpus.split_validation(values.validation_share)
    for name, indices in (("training", train), ("validation", validation)):
        if len(set(corpus.labels[indices].tolist())) < 2:
            raise DataError(
                f"{corpus.name}: the {name} part ({len(indices)} reviews) does not hold both classes; more reviews are needed"
            )
    return train, validation, corpus.part("test")


def _train_one(
    configuration: Configuration,
    corpus: Corpus,
    name: Architecture,
    seed: int,
    device: dict[str, Any],
    kernel: str,
    reporter: Reporter,
) -> Result:
    """Trains one network of one seed and scores it; the test reviews are used once, at the end."""
    from job import models, training

    values = configuration.hyperparameters[name]
    training_part, validation_part, test_part = _reviews(corpus, values)
    lengths = np.minimum(corpus.lengths[training_part], values.max_tokens)
    # The tutorial's network takes every review at one fixed length.
    length = None if values.embedding_size else values.max_tokens
    network = models.build(name, values, seed)
    steps = -(-len(training_part) // values.batch_size)

    logits_of = models.make_predict(network, values)

    def epoch_batches(epoch: int) -> Any:
        order = batches.training_order(lengths, values.batch_size, seed, epoch)
        return batches.batches(corpus, training_part, order, values.vocabulary_size, values.max_tokens, length)

    def predict(indices: NDArray[np.int64]) -> NDArray[np.float32]:
        result = np.empty(len(indices), np.float32)
        order = batches.evaluation_order(np.minimum(corpus.lengths[indices], values.max_tokens), _EVALUATION_BATCH)
        assembled = batches.batches(corpus, indices, order, values.vocabulary_size, values.max_tokens, length)
        for places, batch in zip(order, assembled, strict=True):
            result[places] = logits_of(batch.tokens)
        return result

    def score(indices: NDArray[np.int64]) -> dict[str, float]:
        return evaluation.scores(corpus.labels[indices], predict(indices))

    reporter.start(name, seed, values.epochs)
    trained = training.train(
        network,
        partial(models.forward, network, values),
        models.optimizer(values, steps * values.epochs),
        values,
        seed,
        steps,
        epoch_batches,
        (lambda: evaluation.losses(corpus.labels[validation_part], predict(validation_part))) if len(validation_part) else None,
        reporter.step,
        reporter.epoch,
    )
    history = [{"seed": seed} | asdict(epoch) for epoch in trained.history]
    last = trained.history[-1] if trained.history else None
    record: dict[str, Any] = {
        "seed": seed,
        "status": "diverged" if trained.diverged else "finished",
        "diverged": trained.diverged,
        "epochs": len(trained.history),
        "best_epoch": trained.best_epoch,
        "parameters": int(network.count_params()),
        "device": device["type"],
        "kernel": kernel,
        "train": None,
        "validation": None,
        "test": None,
        "last_epoch": {"loss": last.loss, "accuracy": last.accuracy} if last else None,
        "train_reviews": len(training_part),
        "validation_reviews": len(validation_part),
        "test_reviews": len(test_part),
        "seconds": trained.seconds,
        "tokens_per_second": trained.tokens / trained.seconds if trained.seconds else 0.0,
    }
    if trained.diverged:
        reporter.message(f"warning: {name}: {trained.diverged}; the other runs go on")
        return Result(record, history, np.empty(0, np.float32), None)
    logits = predict(test_part)
    record["train"] = score(training_part)
    record["validation"] = score(validation_part) if len(validation_part) else None
    record["test"] = evaluation.scores(corpus.labels[test_part], logits)
    return Result(record, history, evaluation.probabilities(logits), network.get_weights())


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
    reporter: Reporter,
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
    parts = _reviews(corpus, next(iter(configuration.hyperparameters.values())))
    metrics = {
        "schema_version": SCHEMA_VERSION,
        "preset": str(configuration.preset),
        "data": {
            "name": corpus.name,
            "sha256": corpus.sha256,
            "train_reviews": len(parts[0]),
            "validation_reviews": len(parts[1]),
            "test_reviews": len(parts[2]),
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
            corpus, np.concatenate(parts), next(iter(configuration.hyperparameters.values())).vocabulary_size
        )
    reporter.message(f"peak memory {provenance.peak_memory_bytes() / 2**20:,.0f} MiB")
    output.finish(metrics, run, corpus.labels[parts[2]], networks, results, extra)
    return metrics
