"""What is mounted where: proc_pid_mountinfo(5)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True)
class MountEntry:
    """A mount as this mount namespace has it.

    Attributes:
        point: where it is mounted.
        propagation: the optional fields (`shared:1`, `master:2`); none for a private mount.
        kind: the file system's type.
    """

    point: str
    propagation: tuple[str, ...]
    kind: str

    @property
    def shared(self) -> bool:
        """Whether what is mounted below it reaches its peers."""
        return any(word.startswith("shared:") for word in self.propagation)

    @property
    def slave(self) -> bool:
        """Whether what is mounted at its master reaches it."""
        return any(word.startswith("master:") for word in self.propagation)


def parse_mountinfo(raw: bytes) -> list[MountEntry]:
    """The lines of a mountinfo file, in their order: a later mount lies over an earlier one of the same place."""
    found = []
    for line in raw.splitlines():
        fields = line.split(b" ")
        if b"-" not in fields[6:]:
            continue
        end = fields.index(b"-", 6)
        point = _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), fields[4])
        found.append(
            MountEntry(os.fsdecode(point), tuple(word.decode() for word in fields[6:end]), fields[end + 1].decode())
        )
    return found


def read_mountinfo() -> list[MountEntry]:
    """The mounts of this process's namespace."""
    with open("/proc/self/mountinfo", "rb") as file:
        return parse_mountinfo(file.read())


def mount_of(path: str, mounts: list[MountEntry]) -> MountEntry | None:
    """The mount on which an absolute path without symlinks lies: the longest point above it, the last of equals."""
    best = None
    for entry in mounts:
        above = entry.point == "/" or path == entry.point or path.startswith(f"{entry.point}/")
        if above and (best is None or len(entry.point) >= len(best.point)):
            best = entry
    return best
