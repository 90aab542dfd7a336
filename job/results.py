"""From the results of single trainings to metrics.json, and back from a finished run to its results."""

from typing import Any

import numpy as np

from job import evaluation
from job.artifacts import Output, Result, validate
from job.errors import ConfigurationError, DataError, DivergedError
from job.presets import Architecture
from job.schema import SCHEMA_VERSION, check_schema

Results = dict[Architecture, dict[int, Result]]


def finished(output: Output, identity: dict[str, Any], fresh: bool = False) -> Results | None:
    """The results of a finished run in this folder; None where there is none.

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
    predictions = output.read_predictions()
    results: Results = {}
    for name, entry in metrics["architectures"].items():
        history = output.read_history(name)
        for record in entry["runs"]:
            seed = record["seed"]
            probabilities = predictions.get((name, seed), np.empty(0, np.float32))
            found = Result(record, history.get(seed, []), probabilities, None)
            results.setdefault(Architecture(name), {})[seed] = found
    return results


def difference(there: Any, here: dict[str, Any]) -> str:
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


def best_seed(results: dict[int, Result]) -> int | None:
    """The seed with the best validation loss; the first where there is no validation; None where all diverged."""
    finished = [seed for seed in sorted(results) if results[seed].record["status"] == "finished"]
    if not finished:
        return None

    def loss(seed: int) -> float:
        validation = results[seed].record["validation"]
        return float(validation["loss"]) if validation else 0.0

    return min(finished, key=loss)


def compile_metrics(preset: str, data: dict[str, Any], device: dict[str, Any], results: Results) -> dict[str, Any]:
    """The content of metrics.json.

    Args:
        preset: Its name.
        data: The `data` entry.
        device: The `device` entry.
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
    metrics = {
        "schema_version": SCHEMA_VERSION,
        "preset": preset,
        "data": data,
        "device": device,
        "architectures": architectures,
        "comparison": None,
        "baseline": None,
        "reproduction": evaluation.reproduce(architectures) if preset == "seed" else None,
    }
    check_schema(metrics)
    return metrics


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
