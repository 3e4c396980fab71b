"""Debian's control format, deb822(5), and the order of versions, deb-version(7)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cmp_to_key


def parse_paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Read paragraphs; continuation lines are joined by newlines, without their leading space."""
    fields: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if not line.strip():
            if fields:
                yield fields
            fields, key = {}, ""
        elif line[0] in " \t":
            if key:
                fields[key] += "\n" + line.strip()
        elif not line.startswith("#"):
            key, _, value = line.partition(":")
            fields[key] = value.strip()
    if fields:
        yield fields


def compare_versions(a: str, b: str) -> int:
    """Less than, equal to or greater than zero, as `a` is older, the same or newer."""
    epoch_a, upstream_a, revision_a = _split(a)
    epoch_b, upstream_b, revision_b = _split(b)
    return epoch_a - epoch_b or _compare(upstream_a, upstream_b) or _compare(revision_a, revision_b)


version_key = cmp_to_key(compare_versions)
"""Sort key for version strings."""


def _split(version: str) -> tuple[int, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return int(epoch), upstream if dash else rest, revision if dash else "0"


def _compare(a: str, b: str) -> int:
    """Compare by turns a non-digit part (`~` before the end, letters before the rest) and a number."""
    parts_a, parts_b = re.findall(r"(\D*)(\d*)", a), re.findall(r"(\D*)(\d*)", b)
    for i in range(max(len(parts_a), len(parts_b))):
        text_a, number_a = parts_a[i] if i < len(parts_a) else ("", "")
        text_b, number_b = parts_b[i] if i < len(parts_b) else ("", "")
        weights_a, weights_b = _weights(text_a), _weights(text_b)
        if weights_a != weights_b:
            return -1 if weights_a < weights_b else 1
        if int(number_a or 0) != int(number_b or 0):
            return int(number_a or 0) - int(number_b or 0)
    return 0


def _weights(text: str) -> list[int]:
    weights = [-1 if c == "~" else ord(c) if c.isalpha() else ord(c) + 256 for c in text]
    return [*weights, 0]
