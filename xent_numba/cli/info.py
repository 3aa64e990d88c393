"""``xent-numba info``: what this machine is, and which implementations can run on it."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Iterator

from xent_numba import registry
from xent_numba.codegen import cpu_target
from xent_numba.results import machine, table


def add(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    text = "only what computes, in one line, for asv machine --cpu"
    parser.add_argument("--cpu", action="store_true", help=text)


def run(options: argparse.Namespace) -> int:
    """Print the machine, then the implementations and why some cannot run."""
    if options.cpu:
        print(processors(), file=options.output)
        return 0
    for name, value in _lines():
        print(f"{name:<16} {table.printable(value)}", file=options.output)
    print(file=options.output)
    rows = {"implementation": "can run here"}
    for name, implementation in registry.implementations().items():
        reason = implementation.unavailable()
        rows[name] = "yes" if reason is None else f"no: {table.printable(reason)}"
    width = max(map(len, rows))
    indent = " " * (width + 2)
    columns = shutil.get_terminal_size().columns
    for name, said in rows.items():
        line = f"{name:<{width}}  {said}"
        print(textwrap.fill(line, columns, subsequent_indent=indent), file=options.output)
    return 0


def processors() -> str:
    """Name what computes here, in one line, as a history of times must tell machines apart."""
    here, simd = machine.describe(), cpu_target.describe()["simd_bits"]
    return f"{here.cpu or here.architecture}, {simd or 'no'} bit SIMD, {here.gpu or 'no GPU'}"


def _lines() -> Iterator[tuple[str, str]]:
    here, numba = machine.describe(), cpu_target.describe()
    simd = numba["simd_bits"]
    yield "CPU", f"{here.cpu} ({here.architecture}, for Numba {numba['cpu']})"
    cores = f"{here.cores} cores" if here.cores else "unknown"
    yield "cores", f"{cores}, {here.usable_cpus} CPUs usable"
    yield "SIMD in use", f"{simd} bit" if simd else "none found"
    yield "threads", str(numba["threads"])
    yield "threading layer", str(numba["threading_layer"])
    yield from here.told().items()
    yield from here.versions.items()
