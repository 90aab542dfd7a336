"""Figures as SVG that follows the page's colours: drawn by Matplotlib, coloured by CSS variables.

A figure is shown about as wide as it is drawn or wider, so that its text, which scales with it, is never smaller than a page's
small print.
"""

import io
import math
import re
import textwrap
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

import matplotlib
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

# Drawn in these, and then replaced: what a figure looks like in light and dark is the page's business.
INK, GRID = "#010101", "#020202"
COLOURS = {"rnn": "#030303", "lstm": "#040404", "baseline": "#050505"}
MARKERS = {"rnn": "o", "lstm": "s"}
_VARIABLES = {
    INK: "--ink",
    GRID: "--line",
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
svg { background: var(--page); font-family: system-ui, sans-serif }
"""
# Of all text, in points. A figure is 4.1 inches wide, 295 points: at 320 pixels, a narrow phone, a card's inside is 276.
_SIZE, _WIDTH, HEIGHT = 12, 4.1, 3.1
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": _SIZE,
    "axes.labelsize": _SIZE,
    "xtick.labelsize": _SIZE,
    "ytick.labelsize": _SIZE,
    "legend.fontsize": _SIZE,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # A tick says its whole value, not how far it is from a sum at the axis's end.
    "axes.formatter.useoffset": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.2,
    "legend.borderpad": 0.0,
    "legend.labelspacing": 0.3,
}
# In points, of a letter on average, and of a legend's line with the gaps around it.
_LETTER, _HANDLE = 6.6, 38.0
_LONGEST = 36

Paint = Callable[[Axes], None]


def draw(name: str, *paints: Paint, height: float = HEIGHT) -> str:
    """An SVG element of what each of `paints` draws, side by side, with one legend above them.

    Args:
        name: Keeps its parts' names apart from those of the page's other figures.
        height: In inches; more where the legend has more than two lines.
    """
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(_WIDTH * len(paints), height), layout=ConstrainedLayoutEngine(h_pad=0.1))
        for paint, axes in zip(paints, figure.subplots(1, len(paints), squeeze=False)[0], strict=True):
            paint(axes)
        _add_legend(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _cleaned(stream.getvalue(), name).replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)


def draw_alone(name: str, title: str, *paints: Paint) -> bytes:
    """The same as a file of its own, which brings its colours, light and dark, and a title for who does not see it."""
    text = draw(name, *paints).replace('aria-hidden="true" focusable="false"', 'role="img"', 1)
    end = text.index(">") + 1
    return f"{text[:end]}<title>{escape(title)}</title><style>{_COLOURS}</style>{text[end:]}".encode()


def _add_legend(figure: Figure) -> None:
    """One legend for all that has a name, above the axes: beside the data, it would cover some of them in some run."""
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            # Of points with intervals the line and the marker say it all.
            named.setdefault(textwrap.fill(label, _LONGEST), handle[0] if isinstance(handle, ErrorbarContainer) else handle)
    if not named:
        return
    labels = list(named)
    columns = _columns([max(map(len, label.splitlines())) for label in labels], 72 * figure.get_figwidth())
    lines = sum(label.count("\n") + 1 for label in labels) / columns
    figure.set_figheight(figure.get_figheight() + max(0.0, lines - 2) * 1.35 * _SIZE / 72)
    figure.legend(list(named.values()), labels, loc="outside upper left", ncols=columns)


def _columns(letters: list[int], width: float) -> int:
    """How many columns of a legend fit, and no more than its lines need.

    Args:
        letters: Of each label; they fill the columns one after the other.
        width: In points.
    """
    for columns in range(len(letters), 1, -1):
        shortest, longer = divmod(len(letters), columns)
        sizes, start, needed = [shortest + (number < longer) for number in range(columns)], 0, 0.0
        for size in sizes:
            needed += max(letters[start : start + size]) * _LETTER + _HANDLE
            start += size
        if needed <= width:
            return math.ceil(len(letters) / math.ceil(len(letters) / columns))
    return 1


def _cleaned(text: str, name: str) -> str:
    """The SVG element alone, as small as it goes: a page has many."""
    text = text[text.index("<svg") :]
    # The size is the page's, the proportions are the figure's.
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # The font is the page's. Matplotlib names every one that it might have taken, at each text.
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    # Each figure counts its parts from 1, and in a page a name is given once.
    text = re.sub(r' id="(axes|legend)_(\d+)"', rf' id="{name}-\1-\2"', text)
    text = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"\n\s*", "\n", text)
    # A hundredth of a point is seen by nobody; what a tick says stands in no attribute.
    text = re.sub(r'"[^"<>]*"', lambda match: re.sub(r"(\.\d\d)\d+", r"\1", match[0]), text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text
