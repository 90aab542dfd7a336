"""The figures: what they draw, read from Matplotlib's axes before there is an SVG of them."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from job.output.results import TrialResult, Trials
from job.presets import Architecture
from job.records.history import Epoch, HistoryRow
from job.records.memory import GradientShare, Memory, MemoryLimit, MemoryNetwork, MemoryPoint
from job.records.trials import ArchitectureRecord, Calibration, CalibrationBin, Scores, Summaries, Summary
from job.report import drawing, plots
from tests.output.test_folder import record


def upright_reach(paint: drawing.Paint) -> tuple[float, float]:
    """The ends of a figure's upright axis, and of all that is drawn on it."""
    axes = Figure().subplots()
    paint(axes)
    drawn = [np.asarray(line.get_ydata()) for line in axes.lines]
    drawn += [np.asarray(path.vertices)[:, 1] for each in axes.collections for path in each.get_paths()]
    values = np.concatenate([np.array(axes.get_ylim()), *drawn])
    return float(values.min()), float(values.max())


def test_no_accuracy_is_drawn_beyond_0_to_1_even_of_a_run_whose_interval_was() -> None:
    found = [Scores(accuracy=accuracy, loss=0.1, auc=None, f1=0.5, brier=0.1) for accuracy in (0.92, 1.0)]
    runs = [record(seed).but(test=test) for seed, test in enumerate(found)]
    summary = Summaries(test_accuracy=Summary(mean=0.96, sd=0.057, ci95=(0.45, 1.47)))
    entry = ArchitectureRecord(best_seed=0, runs=runs, summary=summary)
    low, high = upright_reach(plots.accuracies({Architecture.rnn: entry}, 1.0))
    assert 0.4 < low < 0.45
    assert high == 1.0
    right = {Architecture.lstm: np.ones(16), Architecture.rnn: np.zeros(16)}
    assert upright_reach(plots.by_length(np.arange(1, 17), right)) == (0.0, 1.0)


def trials_of(*losses: float) -> Trials:
    """A trial of each network, with so many epochs."""
    trials = Trials()
    for name in Architecture:
        history = [
            HistoryRow(seed=0, epoch=Epoch(epoch=number, loss=loss, accuracy=0.5, validation_loss=loss, validation_accuracy=0.5, learning_rate=0.1, seconds=1.0, tokens_per_second=1.0))
            for number, loss in enumerate(losses, 1)
        ]  # fmt: skip
        trials.add(name, TrialResult(record(0), history, np.array([0.5], np.float32), None))
    return trials


def shown_ticks(axes: Axes) -> list[float]:
    low, high = axes.get_xlim()
    return [tick for tick in axes.get_xticks().tolist() if low <= tick <= high]


@pytest.mark.parametrize(("epochs", "ticks"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 3, 4, 5]), (12, [2, 4, 6, 8, 10, 12])])
def test_epochs_are_whole_numbers_however_few_they_are(epochs: int, ticks: list[int]) -> None:
    axes = Figure().subplots()
    plots.curves(trials_of(*[0.5] * epochs), "loss")(axes)
    assert shown_ticks(axes) == ticks


@pytest.mark.parametrize("key", ["loss", "accuracy"])
def test_of_one_epoch_there_are_four_points_that_can_be_told_apart(key: str) -> None:
    axes = Figure().subplots()
    plots.curves(trials_of(0.5), key)(axes)
    points = [line for line in axes.lines if len(np.asarray(line.get_xdata()))]
    assert len(points) == 4
    assert len({(float(np.asarray(line.get_xdata())[0]), str(line.get_markerfacecolor())) for line in points}) == 4
    low, high = axes.get_ylim()
    assert high - low >= 0.02


def test_a_bin_shows_its_interval_and_its_reviews() -> None:
    bins = [
        CalibrationBin(start=0.1, reviews=20, predicted=0.15, observed=0.1),
        CalibrationBin(start=0.9, reviews=300, predicted=0.97, observed=1.0),
    ]
    axes = (figure := Figure()).subplots()
    plots.reliability({Architecture.lstm: Calibration(expected_calibration_error=0.03, bins=bins)})(axes)
    interval = np.asarray(axes.collections[0].get_paths()[0].vertices)[:, 1].tolist()
    # Wilson's: of 2 in 20.
    assert interval == pytest.approx([0.0279, 0.3010], abs=1e-4)
    bars = [each for each in figure.axes[1].patches if isinstance(each, Rectangle)]
    assert [bar.get_height() for bar in bars] == [20, 300]
    assert all(one.start < bar.get_x() + bar.get_width() / 2 < one.start + 0.1 for one, bar in zip(bins, bars, strict=True))  # fmt: skip


@pytest.mark.parametrize(("longest", "ticks"), [(20, [10, 12, 14, 16, 18]), (300, [50, 100, 200])])
def test_lengths_have_a_few_round_ticks(longest: int, ticks: list[int]) -> None:
    axes = Figure().subplots()
    lengths = np.linspace(10, longest, 80).astype(int)
    plots.by_length(lengths, {Architecture.rnn: np.ones(80)})(axes)
    assert shown_ticks(axes) == ticks


def test_a_legend_has_as_many_columns_as_fit_and_even_lines() -> None:
    assert drawing._columns([9, 4, 8], 295) == 3
    # Three would fit, but leave one below.
    assert drawing._columns([6, 4, 4, 6], 250) == 2
    assert drawing._columns([36, 30], 295) == 1


def test_no_tick_of_a_gradient_is_a_power_with_a_small_exponent() -> None:
    mean = Summary(mean=0.9, sd=None, ci95=None)
    shares = [GradientShare(back=back, share=10.0**-back) for back in range(8)]
    point = MemoryPoint(distance=5, diverged=0, test_accuracy=mean, above_chance=1, learned=1, steps_until_learned=mean, gradient_norms=shares)  # fmt: skip
    limit = MemoryLimit(seeds=[(5, None)], tokens=None, ci95=None)
    network = MemoryNetwork(architecture=Architecture.rnn, remedy=None, points=[point], limit=limit)
    axes = (figure := Figure()).subplots()
    plots.gradients(Memory(distances=[5], networks=[network], bag_of_words=[], verdict=""))(axes)
    figure.draw_without_rendering()
    labels = [label.get_text() for axis in (axes.xaxis, axes.yaxis) for label in axis.get_majorticklabels()]
    assert "1" in labels
    assert "0.0001" in labels
    assert not [label for label in labels if "$" in label]
