"""The host's cgroup v2 hierarchy: where it is mounted and which controllers it has."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

GROUP = "atoll"


@dataclass(frozen=True)
class Hierarchy:
    """Where containers are counted.

    Attributes:
        parent: directory below which each container gets its own; None without cgroup v2.
        controllers: those that can be used there.
    """

    parent: Path | None
    controllers: frozenset[str]


def find_hierarchy(mountinfo: str = "/proc/self/mountinfo") -> Hierarchy:
    """Find cgroup v2 and hand all its controllers down to our own group.

    On a host that still gives the controllers to cgroup v1 the hierarchy exists but has none: containers can be
    grouped (and killed, and given a device filter) but not limited.
    """
    for line in Path(mountinfo).read_text().splitlines():
        head, _, tail = line.partition(" - ")
        if tail.startswith("cgroup2 "):
            return _prepare(Path(head.split()[4]))
    return Hierarchy(None, frozenset())


def _prepare(root: Path) -> Hierarchy:
    parent = root / GROUP
    try:
        parent.mkdir(exist_ok=True)
        for directory in (root, parent):
            for controller in (directory / "cgroup.controllers").read_text().split():
                # One by one: a controller that is busy elsewhere must not cost us the others.
                with contextlib.suppress(OSError):
                    (directory / "cgroup.subtree_control").write_text(f"+{controller}")
        return Hierarchy(parent, frozenset((parent / "cgroup.subtree_control").read_text().split()))
    except OSError:
        return Hierarchy(None, frozenset())
