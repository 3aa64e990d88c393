"""What this machine is, and which implementations can run on it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from xent_numba import registry
from xent_numba.results import machine


def processors() -> str:
    """Name what computes here, in one line, as a history of times must tell machines apart."""
    from xent_numba.codegen import cpu_target

    described, simd = machine.fingerprint(), cpu_target.describe()["simd_bits"]
    cpu = described["cpu"] or described["architecture"]
    return f"{cpu}, {simd or 'no'} bit SIMD, {described['gpu'] or 'no GPU'}"


def show(console: Console) -> None:
    """Print the machine, then the implementations and why some cannot run; for 80 columns."""
    from xent_numba.codegen import cpu_target

    described = machine.fingerprint()
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, value in _lines(described, cpu_target.describe()):
        grid.add_row(name, value)
    console.print(grid)
    console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("implementation", no_wrap=True)
    table.add_column("can run here", overflow="fold")
    for implementation in registry.implementations().values():
        reason = implementation.unavailable()
        table.add_row(implementation.name, "yes" if reason is None else escape(f"no: {reason}"))
    console.print(table)


def _lines(described: dict[str, Any], numba: dict[str, Any]) -> list[tuple[str, str]]:
    simd = numba["simd_bits"]
    return [
        ("CPU", f"{described['cpu']} ({described['architecture']}, for Numba {numba['cpu']})"),
        ("cores", f"{described['cores']} cores, {described['usable_cpus']} CPUs usable"),
        ("caches", ", ".join(f"{k} {v}" for k, v in described["caches"].items()) or "unknown"),
        ("memory", f"{described['memory_bytes'] / 2**30:.1f} GiB"),
        ("governor", described["governor"] or "unknown"),
        ("turbo", {True: "on", False: "off", None: "unknown"}[described["turbo"]]),
        ("SIMD in use", f"{simd} bit" if simd else "none found"),
        ("threads", str(numba["threads"])),
        ("threading layer", str(numba["threading_layer"])),
        ("GPU", described["gpu"] or "none"),
        ("system", described["system"]),
        ("Python", described["python"]),
        *described["versions"].items(),
    ]
