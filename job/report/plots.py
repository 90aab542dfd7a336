"""The report's figures, as SVG that follows the page's colours: drawn by Matplotlib, coloured by CSS variables."""

import io
import re
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from job.analysis.intervals import wilson
from job.output.results import Trials
from job.presets import Architecture
from job.records.base import Interval
from job.records.memory import Memory, MemoryNetwork
from job.records.trials import ArchitectureRecord, Calibration

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
# Where there is no page: its colours (job/report/templates/page.html.j2).
_COLOURS = """
:root { --page: #fbfbfa; --ink: #1c1e21; --muted: #585e66; --line: #d9dce0; --rnn: #a8480c; --lstm: #1559a8 }
@media (prefers-color-scheme: dark) {
  :root { --page: #15171a; --ink: #e8eaed; --muted: #a9b0b8; --line: #3a3f46; --rnn: #f0a45d; --lstm: #7db8f7 }
}
svg { background: var(--page) }
"""
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


Paint = Callable[[Axes], None]


def draw(name: str, *paints: Paint, height: float = 3.2) -> str:
    """An SVG element of what each of `paints` draws, side by side.

    Args:
        name: Keeps its parts' names apart from those of the page's other figures.
    """
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(4.8 * len(paints), height), layout="constrained")
        for paint, axes in zip(paints, figure.subplots(1, len(paints), squeeze=False)[0], strict=True):
            paint(axes)
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


def draw_alone(name: str, title: str, *paints: Paint) -> bytes:
    """The same as a file of its own, which brings its colours, light and dark, and a title for who does not see it."""
    text = draw(name, *paints).replace('aria-hidden="true" focusable="false"', 'role="img"', 1)
    end = text.index(">") + 1
    return f"{text[:end]}<title>{escape(title)}</title><style>{_COLOURS}</style>{text[end:]}".encode()


def accuracies(entries: dict[Architecture, ArchitectureRecord], baseline: float) -> Paint:
    """Each seed's test accuracy, the mean's interval, and the baseline."""

    def paint(axes: Axes) -> None:
        for place, (name, entry) in enumerate(entries.items()):
            found = [run.test.accuracy for run in entry.runs if run.test]
            spread = np.linspace(-0.18, 0.18, len(found)) if len(found) > 1 else [0.0]
            axes.plot(place + np.array(spread), found, _MARKERS[name], color=COLOURS[name], alpha=0.55, markersize=5)
            mean, interval = float(np.mean(found)), entry.summary.test_accuracy.ci95
            error = _errors(np.array([mean]), [interval]) if interval else None
            axes.errorbar([place], [mean], yerr=error, fmt="_", color=COLOURS[name], capsize=8, markersize=26, linewidth=2)
        axes.axhline(baseline, color=COLOURS["baseline"], linestyle="--", linewidth=1.2)
        axes.text(1.0, baseline, "baseline", ha="right", va="bottom", transform=axes.get_yaxis_transform(), fontsize=9)
        axes.set(xticks=range(len(entries)), xticklabels=[name.title for name in entries], ylabel="test accuracy")
        axes.set_xlim(-0.6, len(entries) - 0.4)
        _end_at_shares(axes)

    return paint


def _errors(means: NDArray[np.float64], ends: Sequence[Interval]) -> NDArray[np.float64]:
    """How far intervals reach below and above their means, <float64>[2, means]; within 0 to 1, also where a run of before left it."""
    low, high = np.clip(np.array(ends).T, 0.0, 1.0)
    return np.maximum([means - low, high - means], 0.0)


def _end_at_shares(axes: Axes, both: bool = False) -> None:
    """An axis of shares, the upright one or both, shows nothing beyond 0 to 1; a marker at its end is whole all the same."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(0.0, low), min(1.0, high))
    if both:
        low, high = axes.get_xlim()
        axes.set_xlim(max(0.0, low), min(1.0, high))
    for artist in (*axes.lines, *axes.collections):
        artist.set_clip_on(False)


def curves(trials: Trials, key: str) -> Paint:
    """A figure of every epoch and seed, in training and on validation data.

    Args:
        key: `loss` or `accuracy`.
    """

    def paint(axes: Axes) -> None:
        named: set[str] = set()
        for name, result in trials:
            epochs = [row.epoch for row in result.history]
            for prefix, style in (("", ":"), ("validation_", "-")):
                values = [getattr(epoch, prefix + key) for epoch in epochs]
                if not epochs or None in values:
                    continue
                text = f"{name.title}, {'validation' if prefix else 'training'}"
                line: dict[str, Any] = {"marker": _MARKERS[name], "markersize": 4, "color": COLOURS[name], "alpha": 0.7}
                shown: dict[str, Any] = {"label": text} if text not in named else {}
                axes.plot([epoch.epoch for epoch in epochs], values, style, **line, **shown)
                named.add(text)
        axes.set(xlabel="epoch", ylabel=key)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if key == "accuracy":
            _end_at_shares(axes)
        axes.legend()

    return paint


def roc(labels: NDArray[np.int8], predicted: dict[str, NDArray[np.float32]]) -> Paint:
    """The ROC curves of these probabilities."""
    from sklearn.metrics import roc_curve

    def paint(axes: Axes) -> None:
        for name, probabilities in predicted.items():
            false, true, _ = roc_curve(labels, probabilities)
            _curve(axes, name, false, true)
        axes.plot([0, 1], [0, 1], ":", color=_GRID)
        axes.set(xlabel="false positive rate", ylabel="true positive rate")
        _end_at_shares(axes, both=True)
        axes.legend(loc="lower right")

    return paint


def precision_recall(labels: NDArray[np.int8], predicted: dict[str, NDArray[np.float32]]) -> Paint:
    """The precision-recall curves of these probabilities; guessing is as precise as the positive share."""
    from sklearn.metrics import precision_recall_curve

    def paint(axes: Axes) -> None:
        for name, probabilities in predicted.items():
            precision, recall, _ = precision_recall_curve(labels, probabilities)
            _curve(axes, name, recall, precision, drawstyle="steps-post")
        share = float(np.mean(labels))
        axes.axhline(share, color=_INK, linestyle=":", linewidth=1.0, label=f"guessing ({share:.2f})")
        axes.set(xlabel="recall", ylabel="precision", xlim=(0.0, 1.0))
        _end_at_shares(axes, both=True)
        axes.legend(loc="best")

    return paint


def _curve(axes: Axes, name: str, x: NDArray[np.float64], y: NDArray[np.float64], **style: Any) -> None:
    """A classifier's curve, of no more points than can be seen: all of them make a page of megabytes."""
    shown = np.unique(np.linspace(0, len(x) - 1, 300).astype(int))
    title = Architecture(name).title if name in list(Architecture) else name
    axes.plot(x[shown], y[shown], "--" if name == "baseline" else "-", color=COLOURS[name], label=title, **style)


def reliability(calibrations: dict[Architecture, Calibration]) -> Paint:
    """What was said against what was true, a point for each tenth of the scale."""

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], ":", color=_INK, label="calibrated")
        for name, each in calibrations.items():
            points = [(one.predicted, one.observed) for one in each.bins]
            axes.plot(*zip(*points, strict=True), marker=_MARKERS[name], markersize=5, color=COLOURS[name], label=name.title)
        axes.set(xlabel="predicted probability", ylabel="share of positive reviews")
        _end_at_shares(axes, both=True)
        axes.legend()

    return paint


def by_length(lengths: NDArray[np.int64], right: dict[Architecture, NDArray[np.float64]]) -> Paint:
    """Accuracy over reviews of similar length, with 95 % intervals (Wilson).

    Args:
        right: By architecture the share of seeds that are right, <float64>[reviews].
    """
    groups = [group for group in np.array_split(np.argsort(lengths, kind="stable"), 8) if len(group)]
    middles = [float(np.median(lengths[group])) for group in groups]

    def paint(axes: Axes) -> None:
        for place, (name, shares) in enumerate(right.items()):
            means = np.array([shares[group].mean() for group in groups])
            ends = [wilson(mean * len(group), len(group)) for mean, group in zip(means, groups, strict=True)]
            x = np.array(middles) * (1.02 if place else 0.98)
            axes.errorbar(x, means, yerr=_errors(means, ends), marker=_MARKERS[name], markersize=5, capsize=3, color=COLOURS[name], label=name.title)  # fmt: skip
        axes.set(xlabel="tokens of the review", ylabel="test accuracy", xscale="log")
        _end_at_shares(axes)
        _plain_ticks(axes, middles)
        axes.legend()

    return paint


_DASHES = ("-", "--", ":", "-.", (0, (5, 1)))


def by_distance(memory: Memory) -> Paint:
    """Test accuracy against the distance of the two clues, with 95 % intervals over seeds; a line for each network."""

    def paint(axes: Axes) -> None:
        axes.axhline(0.5, color=_INK, linewidth=0.8)
        words = memory.bag_of_words
        axes.plot([bag.distance for bag in words], [bag.accuracy for bag in words], "x", color=COLOURS["baseline"], label="bag of words")  # fmt: skip
        for network, style in _styled(memory.networks):
            points = [point for point in network.points if point.test_accuracy.mean is not None]
            means = np.array([point.test_accuracy.mean for point in points])
            ends = [point.test_accuracy.ci95 or (mean, mean) for point, mean in zip(points, means, strict=True)]
            errors = _errors(means, ends) if len(points) and not network.remedy else None
            # Intervals of two networks at one distance stand side by side.
            aside = 1.03 if network.architecture is Architecture.lstm else 0.97
            axes.errorbar([aside * point.distance for point in points], means, yerr=errors, capsize=3, **style)
        axes.set(xlabel="tokens between the clues", ylabel="test accuracy", xscale="log")
        axes.set_ylim(min(0.42, axes.get_ylim()[0]))
        _end_at_shares(axes)
        axes.set_xticks(memory.distances, [str(distance) for distance in memory.distances])
        axes.minorticks_off()
        axes.legend(fontsize=7, ncols=2, loc="upper left", bbox_to_anchor=(-0.1, -0.2), columnspacing=1.0)

    return paint


def gradients(memory: Memory) -> Paint:
    """How much a token moves the decision, against its distance from the end, at the longest distance trained."""

    def paint(axes: Axes) -> None:
        for network, style in _styled(memory.networks):
            shares = network.points[-1].gradient_norms
            # The last token stands at 0, which a logarithm does not show.
            axes.plot([share.back + 1 for share in shares], [share.share for share in shares], **style)
        axes.set(xlabel="tokens from the end", ylabel="gradient, of the last token's", xscale="log", yscale="log")
        axes.minorticks_off()

    return paint


def _styled(networks: list[MemoryNetwork]) -> list[tuple[MemoryNetwork, dict[str, Any]]]:
    """Each network with its line: a colour for each architecture, a dash for each remedy."""
    seen: dict[Architecture, int] = {}
    result = []
    for network in networks:
        name = network.architecture
        number = seen[name] = seen.get(name, -1) + 1
        text = name.title + (f", {network.remedy}" if network.remedy else "")
        style: dict[str, Any] = {"color": COLOURS[name], "linestyle": _DASHES[number % len(_DASHES)], "label": text}
        result.append((network, style | ({"marker": _MARKERS[name], "markersize": 5} if not network.remedy else {})))
    return result


def _plain_ticks(axes: Axes, values: Sequence[float]) -> None:
    shown = sorted({int(value) for value in (values[0], values[len(values) // 2], values[-1])})
    axes.set_xticks(shown, [str(value) for value in shown])
    axes.minorticks_off()
