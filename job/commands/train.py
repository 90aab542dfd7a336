"""The job: data, device, one trial after another, the baseline, results."""

import logging
from contextlib import closing
from functools import cached_property, partial
from pathlib import Path

import numpy as np

import job
from job.analysis import scores
from job.commands.models import Models, exported, verify
from job.config import Configuration, fingerprint
from job.data import corpus as corpora
from job.data import findings
from job.data.evidence import Tables
from job.data.imdb import used_word_index
from job.data.reviews import Parts, Reviews, split
from job.errors import DeviceError
from job.machine import device as devices
from job.machine import environment, provenance, runtime
from job.network import kernel
from job.network.fresh import FreshProcess
from job.network.predictor import Predictor
from job.output import existing, finished
from job.output.finished import FinishedRun, VerifiedRun
from job.output.folder import DEPENDENCY, EVENTS, WORD_INDEX, Content, Output, to_npy
from job.output.predictions import TestReviews
from job.output.results import BaselineResult, Trials
from job.presets import ClassWeight, ModelName, PresetName
from job.records.base import to_json
from job.records.metrics import DataRecord, DeviceRecord, Metrics
from job.records.run import Look, RunRecord
from job.report import examples, page
from job.training import staffing
from job.training.desk import Display
from job.training.distances import NetworksOverDistances
from job.training.selftraining import Teacher
from job.training.team import Alone, SideBySide, Team
from job.training.trainer import Recipe, SingleNetworks, Trainer

log = logging.getLogger(__name__)
# Reviews that the exported models are asked.
_VERIFIED = 40


def train(configuration: Configuration, display: Display, fresh: bool) -> Metrics:
    """Runs the job to its end and returns the content of metrics.json.

    Every `JobError` of the contract can come out of it.
    """
    output = Output(configuration.output)
    output.prepare()
    if output.is_lost_with_container():
        log.warning(
            f'{configuration.output} is inside the container and is lost with it; mount a folder there (docker: -v "$PWD/output:{configuration.output}")'
        )
    with environment.prepared(configuration.output, configuration.source.cache) as spare:
        return _Job(configuration, output, display, fresh, spare).run()


class _Job:
    """One call of `train`, step by step."""

    def __init__(self, configuration: Configuration, output: Output, display: Display, fresh: bool, spare: Path | None) -> None:
        self._configuration, self._output, self._display, self._fresh = configuration, output, display, fresh
        self._spare = spare
        self._corpus = corpora.load(configuration.source, spare=spare)
        self._identity = configuration.identity(self._corpus.sha256)
        self._trials = Trials()
        self._teacher: Teacher | None = None

    def run(self) -> Metrics:
        """Finds what is there, trains what is missing, and publishes."""
        before = self._find()
        if before is not None and before.holds(self._configuration.trials()) and not self._output.has_leftovers():
            return self._nothing_to_do(before)
        with self._output.locked():
            # Once more: what was waited for may have changed or finished the run.
            if not existing.is_still(before, self._output.folder):
                before = self._find()
            self._output.sweep()
            if before is not None and before.holds(self._configuration.trials()):
                return self._nothing_to_do(before)
            return self._train(before)

    def _find(self) -> VerifiedRun | None:
        return existing.find(self._output.folder, self._identity, self._free_output, self._fresh)

    def _free_output(self) -> Path:
        """What to give as --output where this run's is taken."""
        folder = self._output.folder
        output = folder.parent.parent if self._configuration.shard else folder
        return existing.free_folder(output, Path(self._configuration.source.name).name.split(".")[0])

    def _nothing_to_do(self, there: VerifiedRun) -> Metrics:
        log.info(f"{self._output.folder} already holds this run, finished; nothing to do")
        return there.metrics

    def _train(self, before: VerifiedRun | None) -> Metrics:
        self._say_what_was_read()
        if self._fresh:
            self._output.discard()
        device = self._select_device()
        self._begin(device)
        baseline = self._take_over(before)
        left = [trial for trial in self._configuration.trials() if not self._trials.holds(*trial)]
        team = self._gather(device, len(left))
        with team:
            cache = self._configuration.source.cache
            trainer = Trainer(self._output, cache, team, self._display, self._look, self._spare)
            recipe = self._recipe(trainer)
            recipe.train(left, self._trials.add)
        workers = f", at most {team.peak_memory_bytes / 2**20:,.0f} MiB in a worker" if team.peak_memory_bytes else ""
        log.info(f"peak memory {provenance.peak_memory_bytes() / 2**20:,.0f} MiB{workers}; {trainer.describe_checkpoints()}")
        if self._configuration.shard is None:
            # A shard may hold nothing but diverged trials; whether an architecture is lost, `merge` finds out.
            self._trials.require_finished()
        return self._publish(baseline or self._train_baseline(recipe), before)

    def _gather(self, device: DeviceRecord, trials: int) -> Team:
        """Who does the trainings that are left."""
        staff = staffing.choose(self._configuration, device, trials)
        if staff.workers > 1 or (trials > 1 and self._configuration.workers is None):
            log.info(staff.why)
        if staff.workers == 1:
            return Alone(device)
        return SideBySide(device, staff.workers, staff.cores, staff.share)

    def _recipe(self, trainer: Trainer) -> Recipe:
        configuration, corpus = self._configuration, self._corpus
        if configuration.compares_distances:
            return NetworksOverDistances(configuration, corpus, trainer)
        self._teacher = Teacher(configuration, corpus, trainer) if configuration.teachers else None
        return SingleNetworks(configuration, corpus, trainer, self._teacher)

    def _say_what_was_read(self) -> None:
        """What `data inspect` tells, before hours are spent on data that nobody meant so."""
        corpus = self._corpus
        if not corpus.is_generated:
            log.info(f"data: {findings.describe(corpus.reading)}")
        for text in corpus.reading.notices:
            log.info(f"data: {text}")
        values = self._configuration.hyperparameters.values()
        is_weighted = all(each.class_weight is ClassWeight.balanced for each in values)
        rare = None if is_weighted else findings.imbalance(corpus)
        for text in self._faults:
            log.warning(f"{text}, and consider --class-weight balanced" if text == rare else text)

    @cached_property
    def _faults(self) -> list[str]:
        return findings.faults(self._corpus)

    def _select_device(self) -> DeviceRecord:
        configuration = self._configuration
        device = devices.select(configuration.device, configuration.require_fast_kernel, starts=False)
        slow = kernel.slow_networks(device, configuration.hyperparameters)
        names, why = " and ".join(slow), "; ".join(f"{name}: {reason}" for name, reason in slow.items())
        if configuration.require_fast_kernel and slow:
            raise DeviceError(
                f"--require-fast-kernel: {names} would run in TensorFlow's loop over time steps on this {device.type} ({why}); leave the option out to train so"
            )
        if device.type == "gpu" and slow:
            log.warning(f"{names} runs in TensorFlow's slow loop over time steps ({why})")
        return device

    def _begin(self, device: DeviceRecord) -> None:
        there = None if self._fresh else finished.read_record(self._output.folder)
        self._record = RunRecord(
            version=job.__version__,
            state="training",
            identity=self._identity,
            fingerprint=fingerprint(self._identity),
            configuration=self._configuration.plan(),
            device=device,
            versions=provenance.versions(),
            source_revision=provenance.revision(),
            seeds=self._configuration.seeds,
            shard=self._configuration.shard,
            test_set_looks=there.test_set_looks if there else [],
            files=None,
        )
        self._output.write_record(self._record)

    def _look(self, purpose: str) -> None:
        """Before the test reviews are used: that they are goes on record, even if this process does not live to say the result."""
        self._record = self._record.but(test_set_looks=[*self._record.test_set_looks, Look.now(purpose)])
        self._output.write_record(self._record)

    def _take_over(self, before: VerifiedRun | None) -> BaselineResult | None:
        """Of a finished run its results, which are kept again: replacing its files begins with its metrics.json, and a kill amid that must not cost its seeds."""
        if before is None:
            return self._output.load_baseline()
        there = FinishedRun.of_verified(before)
        self._output.save_baseline(there.baseline)
        for architecture, result in there.trials:
            self._output.save_result(architecture, self._trials.add(architecture, result))
        return there.baseline

    def _train_baseline(self, recipe: Recipe) -> BaselineResult:
        result = recipe.train_baseline()
        record = result.record
        log.info(f"baseline: {record.name}, test accuracy {record.test.accuracy:.4f}, {record.seconds:.1f} s")
        self._output.save_baseline(result)
        return result

    @cached_property
    def _parts(self) -> Parts:
        return split(self._corpus, next(iter(self._configuration.hyperparameters.values())))

    def _publish(self, baseline: BaselineResult, before: VerifiedRun | None) -> Metrics:
        corpus, (train, validation, test) = self._corpus, self._parts
        used = len(train) + len(validation) + len(test)
        beyond = {"not among those that the preset takes": count} if (count := len(corpus.labelled) - used) else {}
        data = DataRecord(
            name=corpus.name,
            sha256=corpus.sha256,
            train_reviews=len(train),
            validation_reviews=len(validation),
            test_reviews=len(test),
            vocabulary=len(corpus.words),
            own_test_part=corpus.own_test_part,
            left_out_reviews=corpus.reading.rows - used - corpus.reading.unlabelled,
            unlabelled_reviews=corpus.reading.unlabelled,
            reading=corpus.reading.but(left_out=corpus.reading.left_out | beyond),
            faults=self._faults,
            majority=scores.majority(train.labels, test.labels),
        )
        known = TestReviews(labels=test.labels, rows=corpus.rows[test.indices], ids=self._ids(test))
        held_out = TestReviews(labels=validation.labels, rows=corpus.rows[validation.indices])
        chosen = examples.choose(test.labels, self._trials, test.text, corpus.lengths[test.indices])
        if len(validation) and not self._configuration.compares_distances:
            self._look("scores of the ensemble")
        teaching = self._teacher.teaching() if self._teacher else None
        run = FinishedRun.of_results(
            self._output.folder, self._record, data, self._trials, baseline, known, held_out, chosen, teaching
        )
        # It takes seconds to be ready, in which the models are made.
        with closing(FreshProcess()) as fresh:
            predictors, models = self._models(run, before)
            self._output.publish(run, models | self._files(run), before, partial(self._verify, predictors, fresh))
        return run.metrics

    def _ids(self, test: Reviews) -> list[str | None] | None:
        ids = self._corpus.ids
        if ids is None:
            return None
        place = {index: number for number, index in enumerate(self._corpus.part("test").tolist())}
        return [ids[place[index]] for index in test.indices.tolist()]

    def _models(self, run: FinishedRun, before: VerifiedRun | None) -> tuple[list[Predictor], dict[str, Content]]:
        """The models that the finished run before has not left as they are, and their files."""
        runtime.start_tensorflow()
        tables = self._tables()
        values = self._configuration.hyperparameters
        models = Models(values, self._corpus.words, tables, self._record.device)
        predictors: list[Predictor] = []
        files: dict[str, Content] = {}
        for name in self._trials.architectures:
            best = self._trials.best(name)
            entry = before.metrics.architectures.get(name) if before else None
            if best is None or best.weights is None or (entry and entry.best_seed == best.record.seed):
                continue
            predictors.append(models.network(name, best.record.seed, best.weights, run.metrics.threshold(ModelName(name))))
            files |= exported(predictors[-1])
        linear = run.baseline.weights
        if linear is not None:
            predictors.append(models.linear(linear, run.metrics.threshold(ModelName.baseline)))
            files |= exported(predictors[-1], linear.to_safetensors())
        elif before is not None:
            linear = before.linear_weights()
        if run.ensemble is not None and linear is not None:
            weights = {(str(name), each.record.seed): each.weights or [] for name, each in self._trials}
            predictors.append(models.ensemble(run.ensemble.record, weights, linear))
            files |= exported(predictors[-1], self._trials.weights_to_safetensors())
        if tables is not None:
            files[finished.EVIDENCE] = tables.to_safetensors()
        return predictors, files

    def _tables(self) -> Tables | None:
        """Where the networks look up their evidence; None where they read none."""
        from job.training import evidence

        for values in self._configuration.hyperparameters.values():
            if values.evidence:
                return evidence.load(self._parts.train, values, self._configuration.source.cache, self._spare).tables
        return None

    def _files(self, run: FinishedRun) -> dict[str, Content]:
        hashes = np.sort(np.concatenate([part.hashes for part in self._parts[:2]]))
        files: dict[str, Content] = {
            EVENTS: partial(_write_events, self._trials),
            finished.VOCABULARY: to_json(self._corpus.words),
            finished.TRAINING_HASHES: to_npy(hashes),
            finished.REPORT: page.render(run),
        }
        if run.metrics.dependency:
            files[DEPENDENCY] = page.draw_memory(run.metrics.dependency)
        if self._configuration.preset is PresetName.seed:
            read = np.concatenate([part.indices for part in self._parts])
            tokens = Reviews(self._corpus, read, self._parts.train.vocabulary_size).flat()
            files[WORD_INDEX] = to_json(used_word_index(self._corpus.words, tokens))
        return files

    def _verify(self, predictors: list[Predictor], fresh: FreshProcess) -> None:
        train, validation, _ = self._parts
        # Not of the test part, which is for scores only.
        asked = validation if len(validation) else train
        texts = [asked.text(place) for place in range(min(_VERIFIED, len(asked)))]
        verify(self._output.folder, predictors, texts, fresh)


def _write_events(trials: Trials, folder: Path) -> None:
    from job.output import tensorboard

    tensorboard.write(trials, folder)
