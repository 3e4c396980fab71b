"""The host's cgroup v2 hierarchy: where it is mounted and which controllers it has."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from ..api.errors import invalid

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

    def directory_for(self, container_id: str, below: str = "") -> Path | None:
        """A container's own directory.

        Arguments:
            below: the group that a user wants it in (Docker's CgroupParent), made and given the controllers by
                `make_parents`; "" for none.
        """
        if self.parent is None:
            return None
        return self.parent.joinpath(*parts_of(below), container_id)

    def make_parents(self, below: str) -> None:
        """Make the group a user wants a container in, below our own, with all controllers handed down to it.

        Raises:
            OSError: the kernel refused.
        """
        if self.parent is None:
            return
        directory = self.parent
        for part in parts_of(below):
            directory = directory / part
            directory.mkdir(exist_ok=True)
            _hand_down(directory, self.controllers)


def parts_of(parent: str) -> list[str]:
    """The parts of a CgroupParent.

    Raises:
        AgentError: not a plain path.
    """
    parts = [part for part in parent.split("/") if part]
    if any(part in (".", "..") or len(part) > 200 or "\0" in part or "\n" in part for part in parts):
        raise invalid(f"invalid cgroup parent: {parent[:80]!r}")
    return parts


def _hand_down(directory: Path, controllers: frozenset[str]) -> None:
    for controller in sorted(controllers):
        # One by one: a controller that is busy elsewhere must not cost us the others.
        with contextlib.suppress(OSError):
            (directory / "cgroup.subtree_control").write_text(f"+{controller}")


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
            _hand_down(directory, frozenset((directory / "cgroup.controllers").read_text().split()))
        return Hierarchy(parent, frozenset((parent / "cgroup.subtree_control").read_text().split()))
    except OSError:
        return Hierarchy(None, frozenset())
