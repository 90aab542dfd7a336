"""The job: data, device, one training after another, evaluation, results. Ties the parts together."""

import datetime
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import job
from job.config import Configuration, fingerprint
from job.data import imdb
from job.data.corpus import Corpus, load
from job.data.reviews import Reviews, split
from job.errors import DeviceError
from job.machine import device as devices
from job.machine import environment, provenance
from job.network.predictor import Predictor
from job.output.folder import TRAINING_HASHES, VOCABULARY, WORD_INDEX, Output, Result, Saver, to_npy
from job.output.metrics import BASELINE, Results, best_seed, compile_metrics, finished, predictions, require_finished
from job.presets import Architecture, Hyperparameters, PresetName
from job.progress import Reporter
from job.report import examples
from job.report import page as report
from job.training import baseline as linear
from job.training import distances
from job.training.trial import Trial, build_network

# Reviews that the exported models are asked, and texts that are none.
_VERIFIED = 40
_ODD_TEXTS = ("", " ", "GREAT!!! Isn't it?", "naïve café — «über»", "a\ttab, a\r and a \0 byte", "word " * 3000)


def plan(configuration: Configuration) -> dict[str, Any]:
    """What a job would do, as JSON values: the resolved configuration and its trainings. Reads and writes nothing."""
    source = configuration.source
    return {
        "preset": str(configuration.preset),
        "data": source.name,
        "text_column": source.text_column,
        "label_column": source.label_column,
        "distances": list(source.distances) if source.name == "embedded" else None,
        "device": str(configuration.device),
        "require_fast_kernel": configuration.require_fast_kernel,
        "output": str(configuration.output),
        "cache": str(source.cache),
        "hyperparameters": {str(name): asdict(values) for name, values in configuration.hyperparameters.items()},
        "remedies": {
            str(name): {remedy: asdict(values) for remedy, values in each.items()}
            for name, each in configuration.remedies.items()
        },
        "seeds": configuration.seeds,
        "shard": f"{configuration.shard[0]}/{configuration.shard[1]}" if configuration.shard else None,
        "trainings": [{"architecture": str(name), "seed": seed} for name, seed in configuration.trainings()],
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
    wanted = configuration.trainings()

    def complete() -> dict[str, Any] | None:
        there = finished(output, identity, fresh)
        if there is None or not all(seed in there[0].get(name, {}) for name, seed in wanted):
            return None
        reporter.message(f"{configuration.output} already holds this run, finished; nothing to do")
        return output.read_json("metrics.json")

    metrics = complete()
    if metrics is not None and not output.has_leftovers():
        return metrics
    with output.locked():
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
    there = finished(output, identity, fresh)
    if fresh and there is None:
        output.discard()
    device = devices.select(configuration.device, configuration.require_fast_kernel)
    kernels = {name: devices.kernel(device, name, values) for name, values in configuration.hyperparameters.items()}
    slow = [str(name) for name, kernel in kernels.items() if kernel == "while_loop"]
    why = "; ".join(f"{name}: {device['slow_kernels'].get(name, 'the fast ones know only tanh and tokens')}" for name in slow)
    if configuration.require_fast_kernel and slow:
        raise DeviceError(
            f"--require-fast-kernel: {' and '.join(slow)} would run in TensorFlow's loop over time steps on this {device['type']} ({why}); leave the option out to train so"
        )
    if device["type"] == "gpu" and slow:
        reporter.message(f"warning: {' and '.join(slow)} runs in TensorFlow's slow loop over time steps ({why})")
    versions = provenance.versions()
    looks = [] if fresh else list((output.read_json("run.json") or {}).get("test_set_looks", []))
    run = {
        "version": job.__version__,
        "state": "training",
        "identity": identity,
        "fingerprint": fingerprint(identity),
        "configuration": plan(configuration),
        "device": device,
        "versions": versions,
        "source_revision": provenance.revision(),
        "seeds": configuration.seeds,
        "shard": configuration.shard,
        "test_set_looks": looks,
        "files": None,
    }
    output.write_run(run)

    def look(purpose: str) -> None:
        """Before the test reviews are used: that they are goes on record, even if this process does not live to tell the result."""
        looks.append({"for": purpose, "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")})
        output.write_run(run)

    software = f"TensorFlow {versions['tensorflow']}, sentiment-job {job.__version__}"
    place = f"{device['type']} ({device['name']}, {device['cores']} cores, {software})"
    trainer = _Trainer(output, device, place, reporter, look)
    results: Results = {name: {} for name in configuration.hyperparameters if name in dict(wanted)}
    baseline = output.load_result(BASELINE, 0, reporter.message)
    if there is not None:
        # Replacing a finished run's files begins with its metrics.json; a kill amid that must not cost its seeds.
        baseline = there[1]
        output.save_result(BASELINE, 0, baseline)
        for name, runs in there[0].items():
            for seed, result in runs.items():
                results.setdefault(name, {})[seed] = result
                output.save_result(name, seed, result)
    for name, seed in wanted:
        if seed in results[name]:
            continue
        if configuration.preset is PresetName.dependency:
            kept = output.load_result(name, seed, reporter.message)
            if kept is None:
                kept = distances.train(name, seed, configuration, corpus, partial(trainer.train, traces_gradients=True))
                output.save_result(name, seed, _pruned(results[name], seed, kept))
        else:
            values, prune = configuration.hyperparameters[name], partial(_pruned, results[name], seed)
            kept = trainer.train(str(name), name, seed, values, corpus, prune)
        results[name][seed] = kept
        best = best_seed(results[name])
        results[name] |= {
            other: replace(result, weights=None) for other, result in results[name].items() if other not in (best, seed)
        }
    reporter.message(f"peak memory {provenance.peak_memory_bytes() / 2**20:,.0f} MiB; {trainer.describe_checkpoints()}")
    if baseline is None:
        values = next(iter(configuration.hyperparameters.values()))
        if configuration.preset is PresetName.dependency:
            record, probabilities = distances.baseline(corpus, configuration.source.distances, values, look)
        else:
            parts = split(corpus, values)
            record, probabilities = linear.run(parts.train, parts.test, values.validation_share, look)
        reporter.message(
            f"baseline: {record['name']}, test accuracy {record['test']['accuracy']:.4f}, {record['seconds']:.1f} s"
        )
        baseline = Result(record, [], probabilities, None)
        output.save_result(BASELINE, 0, baseline)
    return _finish(configuration, corpus, output, run, results, baseline, kernels, reporter)


class _Trainer:
    """Does single trainings: each is taken up where it was left, and kept when it is finished."""

    def __init__(
        self, output: Output, device: dict[str, Any], place: str, reporter: Reporter, look: Callable[[str], None]
    ) -> None:
        self._output, self._device, self._place, self._reporter, self._look = output, device, place, reporter, look
        self._saved, self._spent, self._trained = 0, 0.0, 0.0

    def train(
        self,
        name: str,
        architecture: Architecture,
        seed: int,
        values: Hyperparameters,
        corpus: Corpus,
        prune: Callable[[Result], Result] = lambda result: result,
        traces_gradients: bool = False,
    ) -> Result:
        """A training's result, kept after `prune`: loaded, or made now."""
        key = re.sub("[^a-z0-9]+", "-", name.lower())
        kept = self._output.load_result(key, seed, self._reporter.message)
        if kept is not None:
            return kept
        kernel = devices.kernel(self._device, architecture, values)
        place = f"{self._place} by {kernel}"
        checkpoints = self._output.checkpoints(key, seed, self._reporter.message)
        trial = Trial(architecture, seed, values, corpus, self._device, place, kernel, name, traces_gradients)
        kept = prune(trial.run(checkpoints, self._reporter, self._look))
        self._output.save_result(key, seed, kept)
        checkpoints.clear()
        self._saved, self._spent = self._saved + checkpoints.count, self._spent + checkpoints.seconds
        self._trained += kept.record["seconds"]
        return kept

    def describe_checkpoints(self) -> str:
        """What saving snapshots cost."""
        share = f", {self._spent / self._trained:.2%} of training" if self._trained else ""
        return f"{self._saved} checkpoints took {self._spent:.2f} s{share}"


def _pruned(others: dict[int, Result], seed: int, result: Result) -> Result:
    """A seed's result, without its weights where another seed is better: only the best one's are ever used."""
    return result if best_seed(others | {seed: result}) == seed else replace(result, weights=None)


def _named_histories(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Each training's rows of history.csv, by a name for TensorBoard."""
    named: dict[str, list[dict[str, Any]]] = {}
    for name, runs in results.items():
        for seed in sorted(runs):
            for row in runs[seed].history:
                where = [f"distance-{row['distance']}", row["remedy"] or "plain"] if "distance" in row else []
                named.setdefault("/".join([str(name), *where, f"seed-{seed}"]), []).append(row)
    return named


def _write_events(histories: dict[str, list[dict[str, Any]]], folder: Path) -> None:
    from job.output import tensorboard

    tensorboard.write(histories, folder)


def _finish(
    configuration: Configuration,
    corpus: Corpus,
    output: Output,
    run: dict[str, Any],
    results: Results,
    baseline: Result,
    kernels: dict[Architecture, str],
    reporter: Reporter,
) -> dict[str, Any]:
    # A shard may hold nothing but diverged runs; whether an architecture is lost, the merging tells.
    if configuration.shard is None:
        require_finished(results)
    savers: dict[str, Saver] = {}
    predictors: dict[Architecture, Predictor] = {}
    for name, runs in results.items():
        best = best_seed(runs)
        # Without weights here, the best seed's are those of the model that the finished run left.
        if best is not None and runs[best].weights is not None:
            from job.network import export

            hyper = configuration.hyperparameters[name]
            network = build_network(name, hyper, best, split(corpus, hyper).train)
            network.set_weights(runs[best].weights)
            savers[f"{name}/model.keras"] = network.save
            savers[f"{name}/saved_model"] = partial(export.save, network, hyper, corpus.words)
            predictors[name] = Predictor(name, network, hyper, kernels[name], corpus.words)
    values = next(iter(configuration.hyperparameters.values()))
    parts = split(corpus, values)
    data = {
        "name": corpus.name,
        "sha256": corpus.sha256,
        "train_reviews": len(parts.train),
        "validation_reviews": len(parts.validation),
        "test_reviews": len(parts.test),
        "vocabulary": len(corpus.words),
        "own_test_part": corpus.own_test_part,
    }
    labels = parts.test.labels
    metrics = compile_metrics(str(configuration.preset), data, run["device"], results, baseline, labels)
    savers["tensorboard"] = partial(_write_events, _named_histories(results))
    chosen = examples.choose(labels, predictions(results), parts.test.text, corpus.lengths[parts.test.indices])
    pages = report.make(output.folder.resolve().name, metrics, run, results, baseline, labels, chosen)
    hashes = np.sort(np.concatenate([parts.train.hashes, parts.validation.hashes]))
    extra: dict[str, Any] = {VOCABULARY: corpus.words, TRAINING_HASHES: to_npy(hashes)}
    extra |= {examples.EXAMPLES: chosen} | pages
    if configuration.preset is PresetName.seed:
        whole = Reviews(corpus, np.concatenate([part.indices for part in parts]), values.vocabulary_size)
        extra[WORD_INDEX] = imdb.used_word_index(corpus.words, whole.flat())

    def verify() -> None:
        """The exported models must give, in a process of their own, what the trained ones do."""
        if predictors:
            from job.network import export

            # Not of the test part, which is for scores only.
            asked = (parts.validation if len(parts.validation) else parts.train).take(slice(_VERIFIED))
            texts = [*(asked.text(place) for place in range(len(asked))), *_ODD_TEXTS]
            folders = [output.folder / name / "saved_model" for name in predictors]
            difference = export.verify(folders, texts, [each.probabilities(texts) for each in predictors.values()])
            reporter.message(f"exported models loaded in a fresh process: {difference:.1e} from the trained ones at most")

    output.finish(metrics, run, labels, savers, results, baseline, extra, verify)
    return metrics
