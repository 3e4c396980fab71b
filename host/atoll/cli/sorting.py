"""The order of lists that people read (pure)."""

from __future__ import annotations

import re


def natural(text: str) -> list[tuple[int, str]]:
    """A key that orders numbers within text by their value: `web2` before `web10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text) if part]
