"""The drawn figures of the report, in colours that the page gives them.

Matplotlib draws with colours that stand for names; in the SVG they become CSS variables, so that
one drawing serves a light page and a dark one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from xent_numba.measurement.participant import DEVICE_LIMIT, LIMITS, MEMORY_LIMIT
from xent_numba.results import svg

#: Colours by the names that the page gives them, for light and for dark. Contrast of 3:1 or more.
_COLOURS = {
    "surface": ("#ffffff", "#111a24"),
    "text": ("#14202b", "#e8eef4"),
    "muted": ("#51606e", "#9fb0c0"),
    "grid": ("#e3e8ed", "#243140"),
    "limit": ("#51606e", "#9fb0c0"),
    "ours": ("#0b62d6", "#5aa9ff"),
    "torch-compiled": ("#c2410c", "#ff8a5c"),
    "torch-eager": ("#b07400", "#f0b840"),
    "jax": ("#9333a8", "#d98cf0"),
    "sklearn": ("#0f7b56", "#4fd0a0"),
    "scipy": ("#0e7490", "#4ec5de"),
    "numexpr": ("#8a5a2b", "#d2a679"),
    "numba-simple": ("#5a6bc4", "#9aa8f5"),
    "numpy": ("#4b5563", "#b4bfca"),
    "numpy-textbook": ("#7b8794", "#8493a3"),
    "naive": ("#a0445c", "#ef8fa6"),
    "other": ("#6b7280", "#9ca3af"),
}
THEMES: Mapping[str, Mapping[str, str]] = {
    theme: {name: pair[column] for name, pair in _COLOURS.items()}
    for column, theme in enumerate(("light", "dark"))
}
#: What is drawn in the place of a colour, until the page's variable takes it.
_STAND_INS = {name: f"#0102{number:02x}" for number, name in enumerate(_COLOURS)}
MUTED, GRID, LIMIT, OURS = (_STAND_INS[name] for name in ("muted", "grid", "limit", "ours"))
#: Colour and marker of each label; the part after an @ does not count.
_SERIES = {
    MEMORY_LIMIT: ("limit", ""),
    DEVICE_LIMIT: ("limit", ""),
    "numba_parallel": ("ours", "o"),
    "numba_cuda": ("ours", "p"),
    "torch_compiled_cuda": ("torch-compiled", "H"),
    "torch_eager_cuda": ("torch-eager", "8"),
    "torch_compiled": ("torch-compiled", "s"),
    "torch_eager": ("torch-eager", "D"),
    "jax_jit": ("jax", "^"),
    "sklearn_loss": ("sklearn", "v"),
    "scipy_special": ("scipy", "P"),
    "numexpr_vm": ("numexpr", "X"),
    "numba_simple": ("numba-simple", "h"),
    "numpy_stable": ("numpy", "<"),
    "numpy_textbook": ("numpy-textbook", ">"),
    "naive": ("naive", "*"),
}
_OTHER = ("other", "d")
#: How lines and points are drawn, ours and the others.
_LINES: Mapping[bool, Any] = {
    True: {"lw": 2.6, "ms": 5, "zorder": 4},
    False: {"lw": 1.3, "ms": 3.5, "zorder": 3},
}
_POINTS: Mapping[bool, Any] = {True: {"ms": 10, "zorder": 4}, False: {"ms": 7, "zorder": 3}}
_DASHES = (0, (4, 3))
_PIXELS_PER_INCH = 72.0


class Line(NamedTuple):
    """One line of a chart: an implementation over the sizes.

    Attributes
    ----------
    label : str
        Its name.
    points : sequence of tuple of float
        Size, value, and the ends of its interval.
    """

    label: str
    points: Sequence[tuple[float, float, float, float]]


class Point(NamedTuple):
    """One implementation in a plane.

    Attributes
    ----------
    label : str
        Its name.
    x, y : float
        Its place; x may be infinite.
    """

    label: str
    x: float
    y: float


class _Name(NamedTuple):
    """A label written at `beside`, with a line to its place."""

    label: str
    x: float
    y: float
    beside: float


def variable(label: str) -> str:
    """CSS variable of an implementation's colour, without the dashes in front."""
    return _SERIES.get(label.partition("@")[0], _OTHER)[0]


def time_against_size(lines: Sequence[Line], *, width: int, height: int, name: str) -> str:
    """Nanoseconds per element against the number of samples, both in logarithms.

    Parameters
    ----------
    lines : sequence of Line
        Nanoseconds per element; the memory limit is dashed.
    width, height : int
        Size of the drawing in CSS pixels.
    name : str
        Prefix of the ids in the SVG, unique in the page.

    Returns
    -------
    str
        An SVG element.
    """
    figure, axes = canvas(width, height, "samples")
    narrow = width < 500
    sizes = [size for line in lines for size, *_ in line.points]
    smallest, largest = min(sizes), max(sizes)
    names = []
    for label, points in lines:
        color, marker = _mark(label)
        x, y, low, high = zip(*points, strict=True)
        dashes = _DASHES if label in LIMITS or "@" in label else "-"
        axes.plot(x, y, color=color, ls=dashes, marker=marker, **_LINES[_is_ours(label)])
        axes.fill_between(x, low, high, color=color, alpha=0.15, lw=0, zorder=2)
        names.append(_Name(label, x[-1], y[-1], 1.9 * largest))
    axes.set_xscale("log", base=2)
    axes.set_xlim(smallest / 1.5, largest * (2**13 if narrow else 2**7))
    ticks = [2.0**k for k in range(0, 40, 9 if narrow else 3) if smallest <= 2.0**k <= largest]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
    _write(axes, names, height)
    return finished(figure, name)


def speed_against_accuracy(
    points: Sequence[Point], *, width: int, height: int, name: str, alone: str = ""
) -> str:
    """Nanoseconds per element against the largest error, both in logarithms.

    Parameters
    ----------
    points : sequence of Point
        Largest error in ULP, and nanoseconds per element; one at least.
    width, height : int
        Size of the drawing in CSS pixels.
    name : str
        Prefix of the ids in the SVG, unique in the page.
    alone : str
        Of an SVG that is a file of its own, and so must bring the colours along, its title.

    Returns
    -------
    str
        An SVG element.
    """
    figure, axes = canvas(width, height, "largest error, ULP")
    finite = [point.x for point in points if math.isfinite(point.x)]
    edge = 30 * max(1e3, *finite)
    names = []
    for label, error, y in points:
        color, marker = _mark(label)
        x = error if math.isfinite(error) else edge
        axes.plot(x, y, marker, color=color, mec="none", **_POINTS[_is_ours(label)])
        # To the left where nobody else is.
        names.append(_Name(label, x, y, x / 1.5 if x < 1 else 2.2 * x))
    axes.set_xscale("log")
    axes.set_xlim(0.02, edge * 30)
    times = [point.y for point in points]
    axes.set_ylim(min(times) / 2, max(times) * 2.5)
    axes.axvline(1.0, color=LIMIT, lw=1, ls=_DASHES, zorder=1)
    _say(axes, "1 ULP", 1.0)
    if len(finite) < len(points):
        # Beyond the axis, which ends before it: no error that has a size lies there.
        axes.axvspan(edge / 8, edge * 30, color=GRID, lw=0, alpha=0.6, zorder=0)
        _say(axes, "infinitely wrong", edge / 8)
    step = 3 if edge > 1e9 else 2
    ticks = [10.0**power for power in range(0, int(math.log10(edge / 8)), step)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_decimal_power))
    if alone:
        axes.set_title(alone, loc="left", color=MUTED, fontsize=10.5)
    _write(axes, names, height)
    return finished(figure, name, alone=bool(alone))


def _say(axes: Axes, text: str, x: float) -> None:
    """Write at the top, right of a place."""
    axes.annotate(
        text,
        (x, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4, -11),
        textcoords="offset points",
        color=MUTED,
        fontsize=9.5,
    )


def css_variables(theme: str) -> str:
    """CSS declarations of a theme's colours."""
    return "".join(f"--{name}:{color};" for name, color in THEMES[theme].items())


def canvas(width: int, height: int, across: str, up: str = "ns per element") -> tuple[Figure, Axes]:
    """An empty drawing of CSS pixels, with its axes named and the vertical one logarithmic."""
    figure = Figure(
        figsize=(width / _PIXELS_PER_INCH, height / _PIXELS_PER_INCH), layout="constrained"
    )
    axes = figure.subplots()
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(which="both", length=0, labelcolor=MUTED, labelsize=10.5)
    axes.set_xlabel(across, color=MUTED, fontsize=10.5)
    axes.set_ylabel(up, color=MUTED, fontsize=10.5)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(_decimal_power))
    axes.grid(axis="both", color=GRID, lw=1)
    axes.set_axisbelow(True)
    return figure, axes


def _mark(label: str) -> tuple[str, str]:
    """What stands for the colour of a label, and its marker."""
    name, marker = _SERIES.get(label.partition("@")[0], _OTHER)
    return _STAND_INS[name], marker


def _is_ours(label: str) -> bool:
    return variable(label) == "ours"


def _write(axes: Axes, names: Sequence[_Name], height: int) -> None:
    """Write each name beside its point, as far apart as letters need."""
    places = apart([name.y for name in names], axes.get_ylim(), height)
    for (label, x, y, beside), place in zip(names, places, strict=True):
        color, _ = _mark(label)
        axes.annotate(
            svg.plain(label),
            (x, y),
            xytext=(beside, place),
            textcoords="data",
            color=color,
            fontsize=10.5,
            weight="bold" if _is_ours(label) else "normal",
            va="center",
            ha="right" if beside < x else "left",
            arrowprops={"arrowstyle": "-", "color": color, "lw": 0.6, "alpha": 0.6, "shrinkB": 4},
        )


def apart(values: Sequence[float], ends: tuple[float, float], height: int) -> list[float]:
    """Move values in a logarithmic axis until texts beside them do not touch.

    Parameters
    ----------
    values : sequence of float
        Where the texts want to be.
    ends : tuple of float
        Of the axis.
    height : int
        Of the drawing in CSS pixels.

    Returns
    -------
    list of float
        Where they are, in the same order: as near as can be, by the sum of squares.
    """
    from scipy.optimize import isotonic_regression

    low, high = map(math.log, ends)
    gap = 13.0 / (0.84 * height) * (high - low)
    order = np.argsort(values, kind="stable")
    # Less a gap for each text below, places that do not touch are places that do not fall.
    steps = gap * np.arange(len(values))
    wanted = isotonic_regression(np.log(values)[order] - steps).x
    places = np.empty(len(values))
    places[order] = np.exp(np.maximum(np.minimum(wanted, high - steps[-1]), low) + steps)
    return places.tolist()


def _power(value: float) -> str:
    if value < 2**10:
        return f"{value:.0f}"
    return f"{value / 2**20:.0f} Mi" if value >= 2**20 else f"{value / 2**10:.0f} Ki"


def _decimal_power(value: float, _: object = None) -> str:
    if value < 1e4:
        return f"{value:g}"
    return f"1e{round(math.log10(value))}"


def finished(figure: Figure, name: str, *, alone: bool = False) -> str:
    """An SVG element of a drawing, `name` before its ids; or a file of its own."""
    text = svg.render(figure, name=name, text=True)
    # As matplotlib writes it: one style for all, and one for each text with a font of its own.
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.S)
    text = re.sub(
        r"font: ((?:bold )?)(?:700 )?([\d.]+)px [^;\"]+", r"font: \g<1>\g<2>px var(--font)", text
    )
    for variable_name, stand_in in _STAND_INS.items():
        text = text.replace(stand_in, f"var(--{variable_name})")
    if not alone:
        return inline(text, name)
    style = (
        f"<style>svg{{--font:system-ui,sans-serif;{css_variables('light')}}}"
        f"@media (prefers-color-scheme:dark){{svg{{{css_variables('dark')}}}}}</style>"
    )
    text = text[text.index("<svg") :]
    return text.replace(">", f">{style}", 1)


def inline(text: str, name: str) -> str:
    """Make an SVG file an element of a page.

    Parameters
    ----------
    text : str
        The file.
    name : str
        Prefix of its ids, unique in the page.

    Returns
    -------
    str
        Without a size of its own.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    head, end, body = text.partition(">")
    return re.sub(r' (?:width|height)="[^"]*"', "", head) + end + body
