"""The report's figures, as SVG that follows the page's colours: drawn by Matplotlib, coloured by CSS variables."""

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

# Drawn in these, and then replaced: what a figure looks like in light and dark is the page's business.
_INK, _GRID = "#010101", "#020202"
COLOURS = {"rnn": "#030303", "lstm": "#040404", "baseline": "#050505"}
_VARIABLES = {
    _INK: "--ink",
    _GRID: "--line",
    COLOURS["rnn"]: "--rnn",
    COLOURS["lstm"]: "--lstm",
    COLOURS["baseline"]: "--muted",
}
_MARKERS = {"rnn": "o", "lstm": "s"}
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _GRID,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def draw(name: str, paint: Callable[[Axes], None], height: float = 3.2) -> str:
    """An SVG element of what `paint` draws; `name` keeps its parts' names apart from those of the page's other figures."""
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(4.8, height), layout="constrained")
        paint(figure.subplots())
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    # The size is the page's, the proportions are the figure's.
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)


def accuracies(summaries: dict[str, Any], baseline: float) -> Callable[[Axes], None]:
    """Each seed's test accuracy, the mean's interval, and the baseline.

    Args:
        summaries: By architecture `accuracies` (of each seed) and `ci95` (or None).
    """

    def paint(axes: Axes) -> None:
        names = list(summaries)
        for place, name in enumerate(names):
            each = summaries[name]
            spread = np.linspace(-0.18, 0.18, len(each["accuracies"])) if len(each["accuracies"]) > 1 else [0.0]
            axes.plot(
                place + np.array(spread), each["accuracies"], _MARKERS[name], color=COLOURS[name], alpha=0.55, markersize=5
            )
            mean = float(np.mean(each["accuracies"]))
            error = [[mean - each["ci95"][0]], [each["ci95"][1] - mean]] if each["ci95"] else None
            axes.errorbar([place], [mean], yerr=error, fmt="_", color=COLOURS[name], capsize=8, markersize=26, linewidth=2)
        axes.axhline(baseline, color=COLOURS["baseline"], linestyle="--", linewidth=1.2)
        axes.text(1.0, baseline, "baseline", ha="right", va="bottom", transform=axes.get_yaxis_transform(), fontsize=9)
        axes.set(xticks=range(len(names)), xticklabels=[label(name) for name in names], ylabel="test accuracy")
        axes.set_xlim(-0.6, len(names) - 0.4)

    return paint


def curves(histories: dict[str, list[list[dict[str, Any]]]], key: str, shown: str) -> Callable[[Axes], None]:
    """A figure of every epoch and seed, in training and on validation data.

    Args:
        histories: By architecture, for each seed its rows of history.csv.
    """

    def paint(axes: Axes) -> None:
        for name, runs in histories.items():
            for number, rows in enumerate(runs):
                epochs = [row["epoch"] for row in rows]
                for prefix, style in (("", ":"), ("validation_", "-")):
                    values = [row[prefix + key] for row in rows]
                    if None not in values:
                        text = f"{label(name)}, {'validation' if prefix else 'training'}" if not number else None
                        axes.plot(
                            epochs,
                            values,
                            style,
                            marker=_MARKERS[name],
                            markersize=4,
                            color=COLOURS[name],
                            alpha=0.7,
                            label=text,
                        )
        axes.set(xlabel="epoch", ylabel=shown)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()

    return paint


def roc(labels: NDArray[np.int8], predicted: dict[str, NDArray[np.float32]]) -> Callable[[Axes], None]:
    """The ROC curves of these probabilities."""
    from sklearn.metrics import roc_curve

    def paint(axes: Axes) -> None:
        for name, probabilities in predicted.items():
            false, true, _ = roc_curve(labels, probabilities)
            # More points than can be seen make a page of megabytes.
            shown = np.unique(np.linspace(0, len(false) - 1, 300).astype(int))
            style = "--" if name == "baseline" else "-"
            axes.plot(false[shown], true[shown], style, color=COLOURS[name], label=label(name))
        axes.plot([0, 1], [0, 1], ":", color=_GRID)
        axes.set(xlabel="false positive rate", ylabel="true positive rate")
        axes.legend(loc="lower right")

    return paint


def reliability(calibrations: dict[str, dict[str, Any]]) -> Callable[[Axes], None]:
    """What was said against what was true, a point for each tenth of the scale."""

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], ":", color=_INK, label="calibrated")
        for name, each in calibrations.items():
            points = [(one["predicted"], one["observed"]) for one in each["bins"]]
            axes.plot(*zip(*points, strict=True), marker=_MARKERS[name], markersize=5, color=COLOURS[name], label=label(name))
        axes.set(xlabel="predicted probability", ylabel="share of positive reviews")
        axes.legend()

    return paint


def by_length(lengths: NDArray[np.int64], right: dict[str, NDArray[np.float64]]) -> Callable[[Axes], None]:
    """Accuracy over reviews of similar length, with 95 % intervals (Wilson).

    Args:
        right: By architecture the share of seeds that are right, <float64>[reviews].
    """
    from scipy.stats import binomtest

    groups = [group for group in np.array_split(np.argsort(lengths, kind="stable"), 8) if len(group)]
    middles = [float(np.median(lengths[group])) for group in groups]

    def paint(axes: Axes) -> None:
        for place, (name, shares) in enumerate(right.items()):
            means = np.array([shares[group].mean() for group in groups])
            ends = [binomtest(round(mean * len(group)), len(group)).proportion_ci(method="wilson") for mean, group in zip(means, groups, strict=True)]  # fmt: skip
            errors = [means - [end.low for end in ends], np.array([end.high for end in ends]) - means]
            x = np.array(middles) * (1.02 if place else 0.98)
            axes.errorbar(x, means, yerr=np.maximum(errors, 0.0), marker=_MARKERS[name], markersize=5, capsize=3, color=COLOURS[name], label=label(name))  # fmt: skip
        axes.set(xlabel="tokens of the review", ylabel="test accuracy", xscale="log")
        _plain_ticks(axes, middles)
        axes.legend()

    return paint


def _plain_ticks(axes: Axes, values: Sequence[float]) -> None:
    shown = sorted({int(value) for value in (values[0], values[len(values) // 2], values[-1])})
    axes.set_xticks(shown, [str(value) for value in shown])
    axes.minorticks_off()


def label(name: str) -> str:
    """A name as people write it."""
    return {"rnn": "SimpleRNN", "lstm": "LSTM"}.get(name, name)
