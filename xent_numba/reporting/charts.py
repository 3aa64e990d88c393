"""The drawn figures of the report, in colours that the page gives them.

Matplotlib draws with colours that stand for names; in the SVG they become CSS variables, so that
one drawing serves a light page and a dark one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from xent_numba.results import svg

TEXT, MUTED, GRID, LIMIT = "#010203", "#010204", "#010205", "#010206"
_VARIABLES = {TEXT: "text", MUTED: "muted", GRID: "grid", LIMIT: "limit"}
_SERIES = {
    "numba_parallel": ("ours", "o"),
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


def variable(label: str) -> str:
    """CSS variable of an implementation's colour, without the dashes in front."""
    return _style(label)[0]


def time_against_size(
    lines: Sequence[Line], limit: Line, *, width: int, height: int, name: str
) -> str:
    """Nanoseconds per element against the number of samples, both in logarithms.

    Parameters
    ----------
    lines : sequence of Line
        Nanoseconds per element.
    limit : Line
        The memory limit, dashed.
    width, height : int
        Size of the drawing in CSS pixels.
    name : str
        Prefix of the ids in the SVG, unique in the page.

    Returns
    -------
    str
        An SVG element.
    """
    figure, axes = _canvas(width, height)
    narrow = width < 500
    ends = []
    for line in [*lines, limit]:
        color, marker = (LIMIT, "") if line is limit else _sentinel(line.label)
        ours = line.label.startswith("numba_parallel")
        x, y, low, high = (list(column) for column in zip(*line.points, strict=True))
        axes.plot(
            x,
            y,
            color=color,
            lw=2.6 if ours else 1.3,
            ls=(0, (4, 3)) if line is limit or "@" in line.label else "-",
            marker=marker,
            ms=5 if ours else 3.5,
            zorder=4 if ours else 3,
        )
        axes.fill_between(x, low, high, color=color, alpha=0.15, lw=0, zorder=2)
        ends.append((line.label, x[-1], y[-1], color, ours))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    smallest, largest = (end(x for _, x, *_ in ends) for end in (min, max))
    smallest = min(smallest, *(line.points[0][0] for line in lines))
    step = 9 if narrow else 3
    ticks = [2.0**k for k in range(0, 40, step) if smallest <= 2.0**k <= largest]
    axes.set_xlim(smallest / 1.5, largest * (2**13 if narrow else 2**7))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _decimal_power(value)))
    axes.set_xlabel("samples", color=MUTED)
    axes.set_ylabel("ns per element", color=MUTED)
    right = max(x for _, x, *_ in ends)
    _label(axes, ends, height, lambda _: 1.9 * right)
    return _svg(figure, name)


def speed_against_accuracy(
    points: Sequence[Point], *, width: int, height: int, name: str, alone: bool = False
) -> str:
    """Nanoseconds per element against the largest error, both in logarithms.

    Parameters
    ----------
    points : sequence of Point
        Largest error in ULP, and nanoseconds per element.
    width, height : int
        Size of the drawing in CSS pixels.
    name : str
        Prefix of the ids in the SVG, unique in the page.
    alone : bool
        Whether the SVG is a file of its own, and so must bring the colours along.

    Returns
    -------
    str
        An SVG element.
    """
    figure, axes = _canvas(width, height)
    finite = [point.x for point in points if math.isfinite(point.x)]
    edge = 30 * max([*finite, 1e3])
    labels = []
    for point in points:
        color, marker = _sentinel(point.label)
        ours = point.label == "numba_parallel"
        x = point.x if math.isfinite(point.x) else edge
        axes.plot(
            x,
            point.y,
            marker,
            color=color,
            ms=10 if ours else 7,
            mec="none",
            zorder=4 if ours else 3,
        )
        labels.append((point.label, x, point.y, color, ours))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(0.3, edge * 30)
    bottom, top = min(p.y for p in points), max(p.y for p in points)
    axes.set_ylim(bottom / 2, top * 2.5)
    axes.axvline(1.0, color=LIMIT, lw=1, ls=(0, (4, 3)), zorder=1)
    axes.annotate(
        "1 ULP",
        (1.0, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4, -11),
        textcoords="offset points",
        color=MUTED,
        fontsize=9.5,
    )
    axes.xaxis.set_major_locator(LogLocator(base=1000.0 if edge > 1e9 else 100.0, numticks=10))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _decimal_power(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("largest error, ULP", color=MUTED)
    axes.set_ylabel("ns per element", color=MUTED)
    _label(axes, labels, height, lambda x: 2.2 * x)
    return _svg(figure, name, alone=alone)


#: Colours of the variables, for a light and a dark page. Contrast of 3:1 or more with either.
THEMES: Mapping[str, Mapping[str, str]] = {
    "light": {
        "surface": "#ffffff",
        "text": "#14202b",
        "muted": "#51606e",
        "grid": "#e3e8ed",
        "limit": "#51606e",
        "ours": "#0b62d6",
        "torch-compiled": "#c2410c",
        "torch-eager": "#b07400",
        "jax": "#9333a8",
        "sklearn": "#0f7b56",
        "scipy": "#0e7490",
        "numexpr": "#8a5a2b",
        "numba-simple": "#5a6bc4",
        "numpy": "#4b5563",
        "numpy-textbook": "#7b8794",
        "naive": "#a0445c",
        "other": "#6b7280",
    },
    "dark": {
        "surface": "#111a24",
        "text": "#e8eef4",
        "muted": "#9fb0c0",
        "grid": "#243140",
        "limit": "#9fb0c0",
        "ours": "#5aa9ff",
        "torch-compiled": "#ff8a5c",
        "torch-eager": "#f0b840",
        "jax": "#d98cf0",
        "sklearn": "#4fd0a0",
        "scipy": "#4ec5de",
        "numexpr": "#d2a679",
        "numba-simple": "#9aa8f5",
        "numpy": "#b4bfca",
        "numpy-textbook": "#8493a3",
        "naive": "#ef8fa6",
        "other": "#9ca3af",
    },
}


def css_variables(theme: str) -> str:
    """CSS declarations of a theme's colours."""
    return "".join(f"--{name}:{color};" for name, color in THEMES[theme].items())


def _canvas(width: int, height: int) -> tuple[Figure, Axes]:
    figure = Figure(
        figsize=(width / _PIXELS_PER_INCH, height / _PIXELS_PER_INCH), layout="constrained"
    )
    axes = figure.subplots()
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(which="both", length=0, labelcolor=MUTED, labelsize=10.5)
    axes.xaxis.label.set_fontsize(10.5)
    axes.yaxis.label.set_fontsize(10.5)
    axes.grid(axis="both", color=GRID, lw=1)
    axes.set_axisbelow(True)
    return figure, axes


def _style(label: str) -> tuple[str, str]:
    return _SERIES.get(label.partition("@")[0], _OTHER)


def _sentinel(label: str) -> tuple[str, str]:
    """A colour that stands for the variable of a label, and its marker."""
    variable, marker = _style(label)
    names = [*(style[0] for style in _SERIES.values()), _OTHER[0]]
    color = f"#0201{names.index(variable):02x}"
    _VARIABLES[color] = variable
    return color, marker


def _label(
    axes: Axes,
    labels: list[tuple[str, float, float, str, bool]],
    height: int,
    beside: Callable[[float], float],
) -> None:
    """Write each name beside its point, at the x that is given, as far apart as letters need."""
    places = _apart(axes, [y for _, _, y, *_ in labels], height)
    for (label, x, y, color, ours), place in zip(labels, places, strict=True):
        axes.annotate(
            svg.plain(label),
            (x, y),
            xytext=(beside(x), place),
            textcoords="data",
            color=color,
            fontsize=10.5,
            weight="bold" if ours else "normal",
            va="center",
            arrowprops={"arrowstyle": "-", "color": color, "lw": 0.6, "alpha": 0.6, "shrinkB": 4},
        )


def _apart(axes: Axes, values: Sequence[float], height: int) -> list[float]:
    """Values moved up or down in a logarithmic axis until texts beside them do not touch."""
    low, high = (math.log(end) for end in axes.get_ylim())
    gap = 13.0 / (0.84 * height) * (high - low)
    order = sorted(range(len(values)), key=lambda i: values[i])
    wanted = [math.log(values[i]) for i in order]
    # Neighbours that touch become a cluster, which is centred on where its members want to be.
    clusters: list[list[float]] = []
    for place in wanted:
        clusters.append([place])
        while len(clusters) > 1 and _touch(clusters[-2], clusters[-1], gap):
            last = clusters.pop()
            clusters[-1] = clusters[-1] + last
    places = [
        _mean(cluster) + gap * (position - (len(cluster) - 1) / 2)
        for cluster in clusters
        for position in range(len(cluster))
    ]
    for i in reversed(range(len(places))):
        places[i] = min(places[i], high - gap * (len(places) - 1 - i))
    for i in range(len(places)):
        places[i] = max(places[i], low + gap * i)
    result = dict(zip(order, map(math.exp, places), strict=True))
    return [result[i] for i in range(len(values))]


def _touch(below: Sequence[float], above: Sequence[float], gap: float) -> bool:
    return _mean(above) - _mean(below) < gap * (len(below) + len(above)) / 2


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _power(value: float) -> str:
    if value < 2**10:
        return f"{value:.0f}"
    return f"{value / 2**20:.0f} Mi" if value >= 2**20 else f"{value / 2**10:.0f} Ki"


def _decimal_power(value: float) -> str:
    if value < 1e4:
        return f"{value:g}"
    return f"1e{round(math.log10(value))}"


def _svg(figure: Figure, name: str, *, alone: bool = False) -> str:
    text = svg.render(figure, name=name, text=True)
    # As matplotlib writes it: one style for all, and one for each text with a font of its own.
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.S)
    text = re.sub(
        r"font: ((?:bold )?)(?:700 )?([\d.]+)px [^;\"]+", r"font: \g<1>\g<2>px var(--font)", text
    )
    for color, variable_name in _VARIABLES.items():
        text = text.replace(color, f"var(--{variable_name})")
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
