"""``python -m xent_numba`` is ``xent-numba``."""

from __future__ import annotations

import sys

from xent_numba.cli import main

if __name__ == "__main__":
    sys.exit(main())
