"""What asv measures where ``--bench`` asks for it, and the gate always.

asv knows no set of benchmarks that it leaves out unless it is asked for one: whether it is asked
stands on its command line.
"""

from pathlib import Path

import psutil


def left_out(line):
    """Whether a command line is one of asv that measures, and names no benchmarks."""
    words = {Path(word).name for word in line}
    asked = any(word.startswith(("-b", "--bench")) for word in line)
    return "asv" in words and bool(words & {"run", "continuous"}) and not asked


if any(left_out(one.cmdline()) for one in psutil.Process().parents()):
    __path__ = []
