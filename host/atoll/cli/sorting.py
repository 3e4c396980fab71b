"""The order of lists that people read (pure)."""

from __future__ import annotations

import re


def natural(text: str) -> list[tuple[int, int]]:
    """A key that orders numbers within text by their value: `web2` before `web10`."""
    key: list[tuple[int, int]] = []
    for part in re.findall(r"[0-9]+|[^0-9]", text):
        key.append((ord("0"), int(part)) if part.isascii() and part.isdigit() else (ord(part), 0))
    return key
