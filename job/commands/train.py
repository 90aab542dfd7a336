"""The job: data, device, one trial after another, the baseline, results."""

import logging
from functools import cached_property, partial
from pathlib import Path

import numpy as np

import job
from job.commands import follow
from job.commands.data import describe, named
from job.commands.models import Models, threshold
from job.commands.publishing import Publishing, cards
from job.config import Configuration, fingerprint
from job.data import corpus as corpora
from job.data import findings
from job.data.evidence import Tables
from job.data.imdb import used_word_index
from job.data.reviews import Parts, Reviews, split
from job.machine import environment, provenance
from job.network import kernel
from job.output import content, existing, finished
from job.output.finished import FinishedRun, VerifiedRun
from job.output.folder import WORD_INDEX, Content, Output, to_npy
from job.output.predictions import TestReviews
from job.output.results import BaselineResult, TrialResult, Trials
from job.presets import Architecture, ClassWeight, ModelName, PresetName
from job.records.base import to_json
from job.records.metrics import DeviceRecord, Metrics
from job.records.run import Look, RunRecord
from job.report import examples
from job.training import staffing
from job.training.crew import Chief
from job.training.desk import Display
from job.training.distances import NetworksOverDistances
from job.training.group_team import InGroup
from job.training.selftraining import Teacher
from job.training.team import Alone, SideBySide, Team
from job.training.trainer import Recipe, SingleNetworks, Trainer

log = logging.getLogger(__name__)
# Reviews that the exported models are asked.
_ASKED = 40


def train(configuration: Configuration, display: Display, fresh: bool) -> Metrics | None:
    """Runs the job to its end and returns the content of metrics.json; None where another process of a group writes it.

    Every `JobError` of the contract can come out of it.
    """
    if configuration.peers and not configuration.peers.is_chief:
        with environment.prepared(None, configuration.source.cache) as spare:
            follow.follow(configuration, kernel.select_device(configuration), spare, display.alive)
        return None
    if configuration.devices is not None:
        with follow.on_all_devices(configuration) as chief:
            return train(chief, display, fresh)
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
        display.phase("reading the data")
        self._corpus = corpora.load(configuration.source, spare=spare)
        self._identity = configuration.identity(self._corpus.sha256)
        self._trials = Trials()
        self._baseline: BaselineResult | None = None
        self._teacher: Teacher | None = None

    def run(self) -> Metrics:
        """Finds what is there, trains what is missing, and publishes."""
        before = self._find()
        if not self._is_done(before) or self._output.has_leftovers():
            with self._output.locked():
                # Once more: what was waited for may have changed or finished the run.
                if not existing.is_still(before, self._output.folder):
                    before = self._find()
                self._output.sweep()
                if not self._is_done(before):
                    return self._train(before)
        assert before is not None
        return self._nothing_to_do(before)

    def _is_done(self, before: VerifiedRun | None) -> bool:
        return before is not None and before.holds(self._configuration.trials())

    def _find(self) -> VerifiedRun | None:
        return existing.find(self._output.folder, self._identity, self._free_output, self._fresh)

    def _free_output(self) -> Path:
        """What to give as --output where this run's is taken."""
        folder = self._output.folder
        output = folder.parent.parent if self._configuration.shard else folder
        return existing.free_folder(output, Path(self._configuration.source.name).name.split(".")[0])

    def _nothing_to_do(self, there: VerifiedRun) -> Metrics:
        log.info(f"{self._output.folder} already holds this run, finished; nothing to do")
        if self._configuration.peers:
            Chief(self._configuration.peers, {}, self._output.release).dismiss()
        self._display.found(there)
        return there.metrics

    def _train(self, before: VerifiedRun | None) -> Metrics:
        self._say_what_was_read()
        if self._fresh:
            self._output.discard()
        device = kernel.select_device(self._configuration)
        self._begin(device)
        self._baseline = self._take_over(before)
        left = [trial for trial in self._configuration.trials() if not self._trials.holds(*trial)]
        team = self._gather(device, len(left))
        source, output = self._configuration.source, self._output
        with (
            output.scratch() as scratch,
            team,
            Publishing(team, output.folder, scratch, self._asked()) as self._publishing,
        ):
            trainer = Trainer(output, source.cache, team, self._display, self._look, self._spare)
            recipe = self._recipe(trainer)
            if self._baseline is None:
                trainer.add(recipe.baseline(), self._keep_baseline)
            else:
                self._export_baseline(self._baseline)
            recipe.train(left, partial(self._keep, before))
            self._display.phase("training the baseline, exporting the models")
            trainer.finish()
            workers = f", at most {team.peak_memory_bytes / 2**20:,.0f} MiB in a worker" if team.peak_memory_bytes else ""
            log.info(
                f"peak memory {provenance.peak_memory_bytes() / 2**20:,.0f} MiB{workers}; {trainer.describe_checkpoints()}"
            )
            if self._configuration.shard is None:
                # A shard may hold nothing but diverged trials; whether an architecture is lost, `merge` finds out.
                self._trials.require_finished()
            return self._publish(before)

    def _gather(self, device: DeviceRecord, trials: int) -> Team:
        """Who does the trainings that are left."""
        if self._configuration.peers:
            log.info(f"{self._configuration.peers.describe()}; it waits for the others, ten minutes at most")
            chief = Chief(self._configuration.peers, follow.said(self._configuration, device), self._output.release)
            return InGroup(device, chief, self._corpus.sha256)
        staff = staffing.choose(self._configuration, device, trials, int(self._corpus.lengths.max(initial=0)))
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

    def _begin(self, device: DeviceRecord) -> None:
        there = None if self._fresh else content.read_record(self._output.folder / finished.RECORD)
        began = provenance.start()
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
            start=(there.start if there else None) or began.at,
            starts=[*(there.starts if there else []), began],
        )
        self._output.write_record(self._record)
        self._display.begin(self._record)

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

    def _keep_baseline(self, result: BaselineResult) -> None:
        record = result.record
        log.info(f"baseline: {record.name}, test accuracy {record.test.accuracy:.4f}, {record.seconds:.1f} s")
        self._output.save_baseline(result)
        self._baseline = result
        self._export_baseline(result)

    def _export_baseline(self, baseline: BaselineResult) -> None:
        linear = baseline.weights
        if linear is not None:
            make = partial(self._models.linear, linear, threshold(baseline.record))
            self._publishing.export(ModelName.baseline, make, linear.to_safetensors())

    def _keep(self, before: VerifiedRun | None, name: Architecture, result: TrialResult) -> TrialResult:
        kept = self._trials.add(name, result)
        wanted = [seed for each, seed in self._configuration.trials() if each == name]
        if all(self._trials.holds(name, seed) for seed in wanted):
            best, entry = self._trials.best(name), before.metrics.architectures.get(name) if before else None
            # The finished run before left its best seed's model, which stays where no other one is better.
            if best and best.weights is not None and (entry is None or entry.best_seed != best.record.seed):
                make = partial(self._models.network, name, best.record.seed, best.weights, threshold(best.record))
                self._publishing.export(ModelName(name), make)
        return kept

    @cached_property
    def _models(self) -> Models:
        return Models(self._configuration.hyperparameters, self._corpus.vocabulary, self._tables, self._record.device)

    def _asked(self) -> list[str]:
        """Texts that the exported models are asked."""
        train, validation, _ = self._parts
        # Not of the test part, which is for scores only.
        asked = validation if len(validation) else train
        return [asked.text(place) for place in range(min(_ASKED, len(asked)))]

    @cached_property
    def _parts(self) -> Parts:
        return split(self._corpus, next(iter(self._configuration.hyperparameters.values())))

    def _publish(self, before: VerifiedRun | None) -> Metrics:
        assert self._baseline is not None
        corpus, (_, validation, test) = self._corpus, self._parts
        data = describe(corpus, self._parts, self._faults)
        known = named(test)
        held_out = TestReviews(labels=validation.labels, rows=corpus.rows[validation.indices])
        self._display.phase("comparing the networks")
        chosen = examples.of_source(test, self._trials, self._configuration.source)
        if len(validation) and not self._configuration.compares_distances:
            self._look("scores of the ensemble")
        teaching = self._teacher.teaching() if self._teacher else None
        run = FinishedRun.of_results(
            self._output.folder, self._record, data, self._trials, self._baseline, known, held_out, chosen, teaching
        )
        self._export_ensemble(run, before)
        self._publishing.draw(run)
        self._display.phase("checking the exported models, drawing the report")
        self._publishing.finish()
        self._display.phase("writing the results")
        files = self._publishing.files | self._files()
        self._output.publish(run, files | cards(run, files, before), before)
        self._display.finish(run)
        return run.metrics

    def _export_ensemble(self, run: FinishedRun, before: VerifiedRun | None) -> None:
        linear = run.baseline.weights or (before.linear_weights() if before else None)
        if run.ensemble is not None and linear is not None:
            make = partial(self._models.ensemble, run.ensemble.record, self._trials.weights(), linear)
            self._publishing.export(ModelName.ensemble, make, self._trials.weights_to_safetensors())

    @cached_property
    def _tables(self) -> Tables | None:
        """Where the networks look up their evidence; None where they read none."""
        from job.training import evidence

        for values in self._configuration.hyperparameters.values():
            if values.evidence:
                return evidence.load(self._parts.train, values, self._configuration.source.cache, self._spare).tables
        return None

    def _files(self) -> dict[str, Content]:
        """Those of which none takes long."""
        hashes = np.sort(np.concatenate([part.hashes for part in self._parts[:2]]))
        files: dict[str, Content] = {
            finished.VOCABULARY: to_json(self._corpus.words),
            finished.TRAINING_HASHES: to_npy(hashes),
        }
        if self._tables is not None:
            files[finished.EVIDENCE] = self._tables.to_safetensors()
        if self._configuration.preset is PresetName.seed:
            read = np.concatenate([part.indices for part in self._parts])
            tokens = Reviews(self._corpus, read, self._parts.train.vocabulary_size).flat()
            files[WORD_INDEX] = to_json(used_word_index(self._corpus.words, tokens))
        return files
