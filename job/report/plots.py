"""What the report's figures show: each function makes what paints one on axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from job.analysis.intervals import wilson
from job.machine.terminal import visible
from job.output.results import Trials
from job.presets import Architecture
from job.records.base import Interval
from job.records.memory import Memory, MemoryNetwork
from job.records.trials import ArchitectureRecord, Calibration
from job.report.drawing import COLOURS, GRID, INK, MARKERS, Paint

# Of an axis at least, however close its points are: beyond that, differences are noise.
_LEAST_SPAN = 0.02


def accuracies(entries: dict[Architecture, ArchitectureRecord], baseline: float) -> Paint:
    """Each seed's test accuracy, the mean's interval, and the baseline."""

    def paint(axes: Axes) -> None:
        for place, (name, entry) in enumerate(entries.items()):
            found = [run.test.accuracy for run in entry.runs if run.test]
            spread = np.linspace(-0.18, 0.18, len(found)) if len(found) > 1 else [0.0]
            axes.plot(place + np.array(spread), found, MARKERS[name], color=COLOURS[name], alpha=0.55, markersize=5)
            mean, interval = float(np.mean(found)), entry.summary.test_accuracy.ci95
            error = _errors(np.array([mean]), [interval]) if interval else None
            axes.errorbar([place], [mean], yerr=error, fmt="_", color=COLOURS[name], capsize=8, markersize=26, linewidth=2)
        axes.axhline(baseline, color=COLOURS["baseline"], linestyle="--", linewidth=1.2, label="baseline")
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
    _widen(axes, _LEAST_SPAN)
    low, high = axes.get_ylim()
    axes.set_ylim(max(0.0, low), min(1.0, high))
    if both:
        low, high = axes.get_xlim()
        axes.set_xlim(max(0.0, low), min(1.0, high))
    for artist in (*axes.lines, *axes.collections):
        artist.set_clip_on(False)


def _widen(axes: Axes, least: float) -> None:
    """Sees to it that the upright axis spans so much: of one point, Matplotlib's own choice means nothing."""
    low, high = axes.get_ylim()
    if high - low < least:
        axes.set_ylim((low + high - least) / 2, (low + high + least) / 2)


# Hollow or filled, so that points that no line joins can be told apart, too.
_OF_PART: dict[str, dict[str, Any]] = {
    "": {"linestyle": ":", "markersize": 5, "markerfacecolor": "none"},
    "validation_": {"linestyle": "-", "markersize": 5},
}


def curves(trials: Trials, key: str) -> Paint:
    """A figure of every epoch and seed, in training and on validation data.

    Args:
        key: `loss` or `accuracy`.
    """

    last = max((row.epoch.epoch for _, result in trials for row in result.history), default=1)

    def paint(axes: Axes) -> None:
        for name, result in trials:
            epochs = [row.epoch for row in result.history]
            # Of a single epoch there are points alone, side by side.
            aside = 0.0 if last > 1 else 0.08 if name is Architecture.lstm else -0.08
            for prefix, style in _OF_PART.items():
                values = [getattr(epoch, prefix + key) for epoch in epochs]
                if epochs and None not in values:
                    line: dict[str, Any] = {"marker": MARKERS[name], "color": COLOURS[name], "alpha": 0.8} | style
                    axes.plot([epoch.epoch + aside for epoch in epochs], values, **line)
        # Two networks and two parts are four names, not the four pairs of them.
        for name in trials.architectures:
            axes.plot([], [], marker=MARKERS[name], color=COLOURS[name], label=name.title)
        for prefix, style in _OF_PART.items():
            axes.plot([], [], color=INK, marker="o", label="validation" if prefix else "training", **style)
        axes.set(xlabel="epoch", ylabel=key, xlim=(0.5, last + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        if key == "accuracy":
            _end_at_shares(axes)
        else:
            _widen(axes, _LEAST_SPAN)

    return paint


def roc(labels: NDArray[np.int8], predicted: dict[str, NDArray[np.float32]]) -> Paint:
    """The ROC curves of these probabilities."""
    from sklearn.metrics import roc_curve

    def paint(axes: Axes) -> None:
        for name, probabilities in predicted.items():
            false, true, _ = roc_curve(labels, probabilities)
            _curve(axes, name, false, true)
        axes.plot([0, 1], [0, 1], ":", color=GRID)
        axes.set(xlabel="false positive rate", ylabel="true positive rate")
        _end_at_shares(axes, both=True)

    return paint


def precision_recall(labels: NDArray[np.int8], predicted: dict[str, NDArray[np.float32]]) -> Paint:
    """The precision-recall curves of these probabilities; guessing is as precise as the positive share."""
    from sklearn.metrics import precision_recall_curve

    def paint(axes: Axes) -> None:
        for name, probabilities in predicted.items():
            precision, recall, _ = precision_recall_curve(labels, probabilities)
            _curve(axes, name, recall, precision, drawstyle="steps-post")
        share = float(np.mean(labels))
        axes.axhline(share, color=INK, linestyle=":", linewidth=1.0, label=f"guessing ({share:.2f})")
        axes.set(xlabel="recall", ylabel="precision", xlim=(0.0, 1.0))
        _end_at_shares(axes, both=True)

    return paint


def _curve(axes: Axes, name: str, x: NDArray[np.float64], y: NDArray[np.float64], **style: Any) -> None:
    """A classifier's curve, of no more points than can be seen: all of them make a page of megabytes."""
    shown = np.unique(np.linspace(0, len(x) - 1, 300).astype(int))
    title = Architecture(name).title if name in list(Architecture) else name
    axes.plot(x[shown], y[shown], "--" if name == "baseline" else "-", color=COLOURS[name], label=title, **style)


def reliability(calibrations: dict[Architecture, Calibration]) -> Paint:
    """What was said against what was true, a point for each tenth of the scale with its 95 % interval (Wilson); below, how many reviews it is of."""

    def paint(axes: Axes) -> None:
        place, figure = axes.get_subplotspec(), axes.figure
        assert place is not None
        halves = place.subgridspec(2, 1, height_ratios=[3, 1])
        axes.set_subplotspec(halves[0])
        below = figure.add_subplot(halves[1], sharex=axes)
        axes.plot([0, 1], [0, 1], ":", color=INK, label="calibrated")
        for number, (name, each) in enumerate(calibrations.items()):
            observed = np.array([one.observed for one in each.bins])
            ends = [wilson(one.observed * one.reviews, one.reviews) for one in each.bins]
            style: dict[str, Any] = {"marker": MARKERS[name], "markersize": 5, "capsize": 3, "color": COLOURS[name]}
            axes.errorbar(
                [one.predicted for one in each.bins], observed, yerr=_errors(observed, ends), label=name.title, **style
            )
            width = 0.08 / len(calibrations)
            middles = [one.start + 0.01 + width * (number + 0.5) for one in each.bins]
            below.bar(middles, [one.reviews for one in each.bins], width=width, color=COLOURS[name])
        axes.set(ylabel="share positive")
        axes.tick_params(labelbottom=False)
        below.set(xlabel="predicted probability", ylabel="reviews")
        below.yaxis.set_major_locator(MaxNLocator(nbins=2, integer=True))
        below.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        _end_at_shares(axes, both=True)

    return paint


def by_length(lengths: NDArray[np.int64], right: dict[Architecture, NDArray[np.float64]]) -> Paint:
    """Accuracy over reviews of similar length, with 95 % intervals (Wilson).

    Args:
        right: By architecture the share of seeds that are right, <float64>[reviews].
    """
    groups = [group for group in np.array_split(np.argsort(lengths, kind="stable"), 8) if len(group)]
    middles = np.array([float(np.median(lengths[group])) for group in groups])
    low, high = middles[[0, -1]].tolist()

    def paint(axes: Axes) -> None:
        for place, (name, shares) in enumerate(right.items()):
            means = np.array([shares[group].mean() for group in groups])
            ends = [wilson(mean * len(group), len(group)) for mean, group in zip(means, groups, strict=True)]
            # Intervals of two networks stand side by side, by two hundredths of the axis.
            aside = 0.01 if place else -0.01
            x = middles * (high / low) ** aside if _differ_by_much(low, high) else middles + aside * (high - low)
            axes.errorbar(x, means, yerr=_errors(means, ends), marker=MARKERS[name], markersize=5, capsize=3, color=COLOURS[name], label=name.title)  # fmt: skip
        axes.set(xlabel="tokens of the review", ylabel="test accuracy")
        _end_at_shares(axes)
        _scale_by_size(axes, low, high)

    return paint


_DASHES = ("-", "--", ":", "-.", (0, (5, 1)))


def by_distance(memory: Memory) -> Paint:
    """Test accuracy against the distance of the two clues, with 95 % intervals over seeds; a line for each network."""

    def paint(axes: Axes) -> None:
        axes.axhline(0.5, color=INK, linewidth=0.8)
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

    return paint


def gradients(memory: Memory) -> Paint:
    """How much a token moves the decision, against its distance from the end, at the longest distance trained."""

    def paint(axes: Axes) -> None:
        for network, style in _styled(memory.networks):
            shares = network.points[-1].gradient_norms
            # The last token stands at 0, which a logarithm does not show.
            axes.plot([share.back + 1 for share in shares], [share.share for share in shares], **style)
        axes.set(xlabel="tokens from the end", ylabel="relative gradient", xscale="log", yscale="log")
        axes.minorticks_off()
        for axis in (axes.xaxis, axes.yaxis):
            # Not as powers of ten, whose exponents are too small to read.
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))

    return paint


def _styled(networks: list[MemoryNetwork]) -> list[tuple[MemoryNetwork, dict[str, Any]]]:
    """Each network with its line: a colour for each architecture, a dash for each remedy."""
    seen: dict[Architecture, int] = {}
    result = []
    for network in networks:
        name = network.architecture
        number = seen[name] = seen.get(name, -1) + 1
        text = name.title + (f", {_plain(network.remedy)}" if network.remedy else "")
        style: dict[str, Any] = {"color": COLOURS[name], "linestyle": _DASHES[number % len(_DASHES)], "label": text}
        result.append((network, style | ({"marker": MARKERS[name], "markersize": 5} if not network.remedy else {})))
    return result


def _differ_by_much(low: float, high: float) -> bool:
    """Whether sizes are better seen on a logarithmic axis."""
    return high >= 4 * low


def _scale_by_size(axes: Axes, low: float, high: float) -> None:
    """A logarithmic axis along where sizes differ by much, with few round ticks; else a plain one, with whole numbers."""
    if not _differ_by_much(low, high):
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    else:
        axes.set_xscale("log")
        subs = (1.0, 2.0, 5.0) if high < 40 * low else (1.0, 3.0) if high < 400 * low else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _plain(text: str) -> str:
    """A name in a legend: no formula to Matplotlib, and nothing that an SVG may not hold."""
    return visible(text).replace("$", r"\$")
