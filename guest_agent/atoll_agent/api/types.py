"""Values that pass between server and engine."""

from __future__ import annotations

from typing import NamedTuple


class Attachable(NamedTuple):
    """What a connection may be attached to.

    Attributes:
        key: the supervisor's name of it.
        terminal: whether it has one (its output is raw then, otherwise framed).
        stdin: whether it reads input.
        detach_keys: what its maker wants them to be; "" for the usual ones.
    """

    key: str
    terminal: bool
    stdin: bool
    detach_keys: str = ""


class LogQuery(NamedTuple):
    """Query of a logs request; times as RFC 3339, "" for none."""

    stdout: bool
    stderr: bool
    since: str
    until: str
    tail: int | None
    follow: bool
    timestamps: bool
