"""Who a process runs as, read from the container's own /etc/passwd and /etc/group by descriptor.

Never through the C library: its name services would load code from the container (CVE-2019-14271).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..linux.paths import read_in_root

MAX_ID = (1 << 31) - 1


class UnknownUser(Exception):
    """A name that the container's files do not have; the text is Docker's."""


@dataclass(frozen=True)
class Identity:
    """Numbers for setresuid, setresgid and setgroups, and the home directory."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def _lines(root: int, path: str) -> list[list[str]]:
    text = read_in_root(root, path).decode("utf-8", "surrogateescape")
    return [line.split(":") for line in text.splitlines() if line and not line.startswith("#")]


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        return None
    number = int(text)
    if number > MAX_ID:
        raise UnknownUser("uids and gids must be in range 0-2147483647")
    return number


def find_identity(root: int, user: str, extra_groups: list[str]) -> Identity:
    """Resolve Docker's `user[:group]` and extra groups inside `root` (a directory descriptor).

    Raises:
        UnknownUser: a name that is not in the container's files, or a number out of range.
    """
    name, _, group = user.partition(":")
    wanted = _number(name) if name else 0
    entry = _find_user(_lines(root, "etc/passwd"), name, wanted)
    groups = _lines(root, "etc/group")
    if entry:
        uid, gid, home, login = int(entry[2]), int(entry[3]), entry[5] if len(entry) > 5 else "/", entry[0]
    elif wanted is not None:
        uid, gid, home, login = wanted, 0, "/", ""
    else:
        raise UnknownUser(f"unable to find user {name}: no matching entries in passwd file")
    supplementary: set[int] = set()
    if group:
        gid = _find_group(groups, group)
    elif login:
        supplementary = {int(g[2]) for g in groups if len(g) > 3 and g[2].isdigit() and login in g[3].split(",")}
    supplementary |= {_find_group(groups, extra) for extra in extra_groups}
    # The primary group belongs to the list (CVE-2022-36109).
    return Identity(uid, gid, tuple(sorted(supplementary | {gid})), home or "/")


def _find_user(lines: list[list[str]], name: str, number: int | None) -> list[str] | None:
    usable = [e for e in lines if len(e) >= 4 and e[2].isdigit() and e[3].isdigit()]
    for entry in usable:
        if entry[0] == name:
            return entry
    if number is not None:
        for entry in usable:
            if int(entry[2]) == number:
                return entry
    return None


def _find_group(lines: list[list[str]], name: str) -> int:
    for entry in lines:
        if len(entry) >= 3 and entry[0] == name and entry[2].isdigit():
            return int(entry[2])
    number = _number(name)
    if number is None:
        raise UnknownUser(f"unable to find group {name}: no matching entries in group file")
    return number
