"""How many processors there are (kernel `admin-guide/cputopology.rst`)."""

from __future__ import annotations

import os
from pathlib import Path

PRESENT = Path("/sys/devices/system/cpu/present")


def parse_processors(text: str) -> int:
    """How many a list such as `0-3,6` names."""
    count = 0
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    return count


def count_processors() -> int:
    """Processors that are present, also those that are not online yet: a machine may still be starting some."""
    try:
        return parse_processors(PRESENT.read_text())
    except (OSError, ValueError):
        return os.cpu_count() or 1
