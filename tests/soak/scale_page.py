"""The page and the picture of what was measured beyond memory and beyond one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xent_numba.results import svg, table
from xent_numba.results.files import write
from xent_numba.results.table import Table

POWERS = (6, 7, 8, 9)
WORKERS = (1, 10, 100, 1000)
SAMPLES = 10**12
BLUE, ORANGE = "#0072B2", "#D55E00"


def picture(runs: list[dict[str, Any]]) -> str:
    """Time, which is a line, and memory, which is flat."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    time, memory = figure.subplots(1, 2)
    sizes = [run["samples"] for run in runs]
    for name, label, colour in (
        ("read_seconds_cached", "read and summed", ORANGE),
        ("loss_seconds_cached", "mean loss", BLUE),
    ):
        time.plot(sizes, [run[name] for run in runs], "o-", color=colour, label=label)
    memory.plot(sizes, [run["resident_bytes"] / 2**20 for run in runs], "o-", color=BLUE)
    memory.plot(
        sizes, [5 * size / 2**20 for size in sizes], ":", color=ORANGE, label="scores and labels"
    )
    memory.axhline(1024, color="#6B6B6B", linewidth=0.8, label="1 GiB")
    for axes, title in ((time, "seconds"), (memory, "MiB resident at the most")):
        axes.set(title=title, xlabel="samples", xscale="log", yscale="log")
        axes.legend(frameon=False)
    return svg.render(figure, name="out-of-core")


def estimate(scaling: dict[str, Any]) -> Table:
    """Seconds of 10^12 samples, from what a sample and a chunk cost here."""
    speed = scaling["samples_a_second_of_one_worker"]
    chunk = 2**26
    chunks = -(-SAMPLES // chunk)
    scheduling = chunks * scaling["seconds_a_chunk_cluster"]
    sent = scaling["bytes_of_partials"] / scaling["chunk"] * SAMPLES
    rows = [
        (
            f"{workers:,}",
            f"{SAMPLES / speed / workers:.0f}",
            f"{scheduling:.0f}",
            f"{sent / workers / 1e9:.1f}",
            f"{max(SAMPLES / speed / workers, scheduling):.0f}",
        )
        for workers in WORKERS
    ]
    heads = ("workers", "computing, s", "scheduling, s", "partials of a worker, GB", "longer, s")
    return Table(heads, rows, right=range(5))


def page(found: dict[str, dict[str, Any]], said: str) -> str:
    """All tables; what was not measured is left out."""
    runs = [found[f"out_of_core_{p}"] for p in POWERS if f"out_of_core_{p}" in found]
    heads = (
        "samples", "read and summed, s", "mean loss, s", "share of that speed",
        "share, files not cached", "MiB at the most",
    )  # fmt: skip
    rows = [
        (
            f"{run['samples']:,.0f}",
            f"{run['read_seconds_cached']:.3g}",
            f"{run['loss_seconds_cached']:.3g}",
            f"{run['share_of_reading_speed_cached']:.2f}",
            f"{run['share_of_reading_speed_dropped']:.2f}",
            f"{run['resident_bytes'] / 2**20:.0f}",
        )
        for run in runs
    ]
    parts = [
        "The same chunks read and summed by NumPy, and their mean loss, in turn: the fastest of\n"
        "each, and the median of the ratios. float32 scores and int8 labels in two `.npy` files,\n"
        "two threads. Each result had the bits of the NumPy call on the whole map.",
        table.markdown(Table(heads, rows, right=range(6))),
        "![Time is linear, memory flat](out_of_core.svg)",
    ]
    for name, title in (
        ("partitions", "Random partitions"),
        ("scaling", "A cluster of one process and of two"),
        ("fit", "A fit of real flights on dask arrays"),
    ):
        if name in found:
            facts = [(key.replace("_", " "), _shown(value)) for key, value in found[name].items()]
            parts += [f"## {title}", table.markdown(Table(("what", "figure"), facts))]
    if "scaling" in found:
        parts += [
            "## On paper: 10^12 samples",
            "Assumed: chunks of 2^26 samples that lie where they are computed, workers as fast as\n"
            "the one above, one scheduler that spends on a chunk what the overhead above is, and\n"
            "nothing lost on the way. Partials are what leaves a worker before neighbours join.",
            table.markdown(estimate(found["scaling"])),
        ]
    return table.page("Beyond memory, beyond one machine", *parts, said)


def _shown(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def draw(folder: Path, found: dict[str, dict[str, Any]], said: str) -> None:
    """Write both."""
    runs = [found[f"out_of_core_{p}"] for p in POWERS if f"out_of_core_{p}" in found]
    if runs:
        write(folder / "out_of_core.svg", picture(runs))
        write(folder / "README.md", page(found, said))
