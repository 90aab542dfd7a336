"""A run's hyperparameters for who does not know them by name: in sentences, and each with what it is."""

import ast
import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from job.presets import Architecture, Hyperparameters


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A line of the table."""

    name: str
    pieces: list[tuple[str, bool]]
    """What it is, in pieces; the second of each says whether it is code."""
    values: list[str]
    """Of each network."""


@functools.cache
def explanations() -> dict[str, str]:
    """By hyperparameter, the text that stands under its field: there is no second one that could say something else."""
    (cls,) = ast.parse(inspect.getsource(Hyperparameters)).body
    assert isinstance(cls, ast.ClassDef)
    return {
        before.target.id: inspect.cleandoc(after.value.value)
        for before, after in pairwise(cls.body)
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
    }


def table(networks: Mapping[Architecture, Hyperparameters]) -> list[Setting]:
    """A line for each hyperparameter."""
    texts = explanations()
    return [
        Setting(
            name=each.name,
            pieces=[(piece, bool(number % 2)) for number, piece in enumerate(texts[each.name].split("`"))],
            values=[_shown(getattr(values, each.name)) for values in networks.values()],
        )
        for each in fields(Hyperparameters)
    ]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def describe(networks: Mapping[Architecture, Hyperparameters]) -> list[str]:
    """Some sentences for each network, or for both where they differ in nothing."""
    first, *others = networks.values()
    if others and all(other == first for other in others):
        return [f"Both networks have the same settings. {_reading('Each', first)} {_training(first)}"]
    return [f"{_reading(f'The {name.title}', values)} {_training(values)}" for name, values in networks.items()]


def _reading(who: str, values: Hyperparameters) -> str:
    read = f"{who} reads a review’s last {values.max_tokens:,} tokens, of {values.vocabulary_size:,} that it can tell apart."
    if values.embedding_size:
        token, it = f"A token is {_count(values.embedding_size, 'number')} that it learns", "them"
        token += f", and {values.evidence} that say what n-grams tell" if values.evidence else ""
    else:
        token, it = "A review is one time step of raw ranks", "it"
    units = f"{_count(values.units, 'unit')}{' in each direction' if values.bidirectional else ''}"
    take = "takes" if values.units == 1 else "take"
    pooled = "the last output" if values.pooling == "last" else "the maximum and the mean of their outputs"
    layer = f", through {_count(values.hidden_units, 'more unit')}," if values.hidden_units else ""
    decides = "decides" if values.pooling == "last" else "decide"
    linear = ", together with the linear model" if values.linear_path else ""
    return f"{read} {token}; {units} {take} {it} in, and {pooled}{layer} {decides}{linear}."


def _training(values: Hyperparameters) -> str:
    epochs = f"{_count(values.epochs, 'epoch')}{' at most' if values.learned_accuracy else ''}"
    rate = f"a learning rate of {values.learning_rate:g}{' that falls to zero' if values.schedule == 'cosine' else ''}"
    shares = {"tokens": values.word_dropout, "embedding’s numbers": values.embedding_dropout, "outputs": values.pooled_dropout}
    dropped = [f"{100 * share:g} % of the {what}" for what, share in shares.items() if share]
    *most, last = dropped or [""]
    dropping = f", dropping {', '.join(most)}{' and ' if most else ''}{last} at random" if dropped else ""
    # Without validation reviews there is no best epoch to be seen.
    is_best = values.keep == "best" and values.validation_share > 0
    kept = "the epoch with the best validation loss" if is_best else "the last epoch"
    return (
        f"It trains for {epochs} in batches of {_count(values.batch_size, 'review')}{dropping}, with {values.optimizer} and {rate}. "
        f"The weights are those of {kept}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
