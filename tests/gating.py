"""The gate, run here: by its command line, or for what it found."""

from __future__ import annotations

import math
import os
import sys

import pytest

from xent_numba import cli
from xent_numba.gate import gate
from xent_numba.gate.pairs import Limits
from xent_numba.gate.project import Project

LIMITS = Limits(budget=0.06, least=6, least_seconds=math.inf)
"""As few pairs as there may be."""

CHOOSES_CPUS = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="CPUs cannot be chosen on this system"
)


def run(*arguments):
    return cli.main(["gate", *arguments, "--python", sys.executable])


def outcome(tiny, baseline, candidate=None, *patterns, **options):
    """The exit status and what was found, whatever else the machine does."""
    options = {"limits": LIMITS, "patience": None, "python": sys.executable, **options}
    request = gate.Request(baseline, candidate, chosen=patterns, **options)
    found = gate.run(Project(tiny.folder), request)
    return found.status(strict=False), found
