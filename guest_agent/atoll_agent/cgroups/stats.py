"""What a cgroup has used (kernel `cgroup-v2.rst`). A controller that is not there gives nothing."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str:
    """A file's content; "" where there is none."""
    try:
        return path.read_text()
    except OSError:
        return ""


def read_numbers(path: Path) -> dict[str, int]:
    """A flat keyed file, such as memory.stat."""
    found = {}
    for line in read_text(path).splitlines():
        key, _, value = line.partition(" ")
        if value.isdigit():
            found[key] = int(value)
    return found


def read_number(path: Path) -> int:
    """A file with one number; 0 for none, and for `max`."""
    text = read_text(path).strip()
    return int(text) if text.isdigit() else 0


def read_devices(path: Path) -> list[tuple[int, int, dict[str, int]]]:
    """A nested keyed file by device, such as io.stat: (major, minor, values)."""
    found = []
    for line in read_text(path).splitlines():
        device, *pairs = line.split()
        major, _, minor = device.partition(":")
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if major.isdigit() and minor.isdigit():
            found.append((int(major), int(minor), {k: int(v) for k, v in values.items() if v.isdigit()}))
    return found
