"""What busybox knows of itself."""

from __future__ import annotations

import re

from .errors import ImageError

# Nothing separates the table from what lies before it, so it is known by its first three names.
_TABLE = re.compile(rb"\[\0\[\[\0[a-z][^\0]*\0(?:[^\0]+\0)+(?=\0)")


def read_applets(binary: bytes) -> list[str]:
    """Names of the built-in programs, from the table in the binary: sorted, NUL-separated, ended by an empty name.

    Raises:
        ImageError: the table is not where it should be.
    """
    match = _TABLE.search(binary)
    if match is None:
        raise ImageError("busybox: no table of applets")
    names = match[0][:-1].decode("ascii", "replace").split("\0")
    if "sh" not in names or len(names) < 50 or any(not name or "/" in name for name in names):
        raise ImageError("busybox: its table of applets makes no sense")
    return names
