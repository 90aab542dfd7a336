"""From the results of single trainings to metrics.json, and back from a finished run to its results."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores as evaluation
from job.analysis.comparison import Answers, compare, verdict
from job.analysis.memory import compile_dependency
from job.errors import ConfigurationError, DataError, DivergedError
from job.output.finished import validate
from job.output.folder import Output, Result
from job.presets import Architecture
from job.schema import SCHEMA_VERSION, check_schema

Results = dict[Architecture, dict[int, Result]]
BASELINE = "baseline"
"""Stands for an architecture where the baseline's predictions are kept."""
_NAMES = {Architecture.rnn: "the SimpleRNN", Architecture.lstm: "the LSTM"}


def finished(output: Output, identity: dict[str, Any], fresh: bool = False) -> tuple[Results, Result] | None:
    """The results of a finished run in this folder, and the baseline's; None where there is none.

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
        what = difference(there, identity)
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
    probabilities = output.read_predictions()
    results: Results = {}
    for name, entry in metrics["architectures"].items():
        history = output.read_history(name)
        for record in entry["runs"]:
            seed = record["seed"]
            found = Result(record, history.get(seed, []), probabilities.get((name, seed), np.empty(0, np.float32)), None)
            results.setdefault(Architecture(name), {})[seed] = found
    record = {key: value for key, value in metrics["baseline"].items() if key not in ("comparisons", "verdict")}
    return results, Result(record, [], probabilities[(BASELINE, 0)], None)


def predictions(results: Results) -> dict[tuple[str, int], NDArray[np.float32]]:
    """The test reviews' probabilities by architecture and seed, of the trainings that did not diverge."""
    return {
        (str(name), seed): runs[seed].probabilities
        for name, runs in results.items()
        for seed in sorted(runs)
        if len(runs[seed].probabilities)
    }


def difference(there: Any, here: dict[str, Any]) -> str:
    """The first setting in which two identities differ, in words."""
    if not isinstance(there, dict):
        return "it tells none"
    for key in ("preset", "distances", "data"):
        if there.get(key) != here.get(key):
            return f"its {key} is {str(there.get(key))[:40]}, here {str(here.get(key))[:40]}"
    old, new = there.get("hyperparameters", {}), here["hyperparameters"]
    if set(old) != set(new):
        return f"its architectures are {' '.join(sorted(old))}, here {' '.join(sorted(new))}"
    for name in new:
        for key, value in new[name].items():
            if old[name].get(key) != value:
                return f"{name}: its {key} is {old[name].get(key)}, here {value}"
    return "its settings are of another version"


def best_seed(results: dict[int, Result]) -> int | None:
    """The seed with the best validation loss; the first where there is no validation; None where all diverged."""
    finished = [seed for seed in sorted(results) if results[seed].record["status"] == "finished"]
    if not finished:
        return None

    def loss(seed: int) -> float:
        validation = results[seed].record["validation"]
        return float(validation["loss"]) if validation else 0.0

    return min(finished, key=loss)


def compile_metrics(
    preset: str,
    data: dict[str, Any],
    device: dict[str, Any],
    results: Results,
    baseline: Result,
    labels: NDArray[np.int8],
) -> dict[str, Any]:
    """The content of metrics.json.

    Args:
        preset: Its name.
        data: The `data` entry.
        device: The `device` entry.
        labels: <int8>[test reviews]
    """
    architectures: dict[str, Any] = {}
    for name, runs in results.items():
        records = [runs[seed].record for seed in sorted(runs)]
        accuracies = [record["test"]["accuracy"] for record in records if record["test"]]
        architectures[str(name)] = {
            "best_seed": best_seed(runs),
            "runs": records,
            "summary": {"test_accuracy": evaluation.summarize(accuracies)},
        }
    answers = {name: each for name, runs in results.items() if (each := _answers(name, runs, labels)) is not None}
    against = _against_baseline(answers, baseline, labels)
    metrics = {
        "schema_version": SCHEMA_VERSION,
        "preset": preset,
        "data": data,
        "device": device,
        "architectures": architectures,
        "comparison": _comparison(answers, against),
        "baseline": baseline.record | against,
        "reproduction": evaluation.reproduce(architectures) if preset == "seed" else None,
        "dependency": compile_dependency(architectures, baseline.record) if preset == "dependency" else None,
    }
    check_schema(metrics)
    return metrics


def _answers(name: Architecture, runs: dict[int, Result], labels: NDArray[np.int8]) -> Answers | None:
    """What the seeds of an architecture that did not diverge got right."""
    right = [(runs[seed].probabilities > 0.5) == (labels == 1) for seed in sorted(runs) if len(runs[seed].probabilities)]
    return Answers(_NAMES[name], np.stack(right)) if right else None


def _comparison(answers: dict[Architecture, Answers], against: dict[str, Any]) -> dict[str, Any] | None:
    """The `comparison` entry: the LSTM against the SimpleRNN; null where one of them is missing."""
    if len(answers) < 2:
        return None
    one, other = answers[Architecture.lstm], answers[Architecture.rnn]
    found = compare(one, other)
    text = f"{_sentence(verdict(one, other, found))} {against['verdict']}"
    return {"of": ["lstm", "rnn"]} | found | {"verdict": text}


def _against_baseline(answers: dict[Architecture, Answers], baseline: Result, labels: NDArray[np.int8]) -> dict[str, Any]:
    """Each network against the baseline, and in a sentence which ones beat it."""
    linear = Answers("the baseline", ((baseline.probabilities > 0.5) == (labels == 1))[None], has_seeds=False)
    comparisons: dict[str, Any] = {}
    beaten: list[str] = []
    unbeaten: list[str] = []
    for name, each in answers.items():
        found = comparisons[str(name)] = compare(each, linear)
        beats = found["difference"] > 0 and found["p_value"] is not None and found["p_value"] < 0.05
        (beaten if beats else unbeaten).append(f"{each.name} ({100 * found['difference']:+.2f} points)")
    sentences = []
    if beaten:
        sentences.append(f"{' and '.join(beaten)} beat{'s' if len(beaten) == 1 else ''} the bag-of-bigrams baseline.")
    if unbeaten:
        sentences.append(f"{' and '.join(unbeaten)} did not beat the bag-of-bigrams baseline, which takes seconds.")
    return {"comparisons": comparisons, "verdict": " ".join(map(_sentence, sentences))}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def require_finished(results: Results) -> None:
    """Makes sure that each architecture has a run that did not diverge.

    Raises:
        DivergedError: One has none.
    """
    lost = [name for name, runs in results.items() if best_seed(runs) is None]
    if lost:
        first = next(iter(results[lost[0]].values()))
        raise DivergedError(
            f"every run of {' and '.join(lost)} diverged ({first.record['diverged']}); lower --learning-rate and pass --fresh"
        )
