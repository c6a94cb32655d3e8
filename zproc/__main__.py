"""``python -m zproc`` is the command ``zproc``."""

from __future__ import annotations

import sys

from zproc.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
