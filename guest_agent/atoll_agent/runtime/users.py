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
    return _in_range(int(text))


def _in_range(number: int) -> int:
    if number > MAX_ID:  # 4294967295 is -1 to the kernel, which means: stay who you are
        raise UnknownUser("uids and gids must be in range 0-2147483647")
    return number


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20


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
        uid, gid, login = _in_range(int(entry[2])), _in_range(int(entry[3])), entry[0]
        home = entry[5] if len(entry) > 5 else "/"
    elif wanted is not None:
        uid, gid, home, login = wanted, 0, "/", ""
    else:
        raise UnknownUser(f"unable to find user {name}: no matching entries in passwd file")
    supplementary: set[int] = set()
    if group:
        gid = _find_group(groups, group)
    elif login:
        lists = [g for g in groups if len(g) > 3 and _is_number(g[2])]
        supplementary = {_in_range(int(g[2])) for g in lists if login in g[3].split(",")}
    supplementary |= {_find_group(groups, extra) for extra in extra_groups}
    # The primary group belongs to the list (CVE-2022-36109).
    return Identity(uid, gid, tuple(sorted(supplementary | {gid})), home or "/")


def _find_user(lines: list[list[str]], name: str, number: int | None) -> list[str] | None:
    usable = [e for e in lines if len(e) >= 4 and _is_number(e[2]) and _is_number(e[3])]
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
        if len(entry) >= 3 and entry[0] == name and _is_number(entry[2]):
            return _in_range(int(entry[2]))
    number = _number(name)
    if number is None:
        raise UnknownUser(f"unable to find group {name}: no matching entries in group file")
    return number
