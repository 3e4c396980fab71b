"""`run` and `exec` without click.

Click takes 25 to 30 ms to import, as long as the engine takes to run a container. So a correct command line of the two
commands that are in a hurry is taken apart here, by the same rows of options; whatever is unusual (an unknown flag, a
missing value, `--help`, a global option, shell completion) is left to click, which has the words for it. Both must
understand a line alike, and a test sees to it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from .exits import guarded
from .options import EXEC_OPTIONS, FLAG, MANY, NUMBER, RUN_OPTIONS, SWITCH, Option
from .values import FALSE, TRUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMPLETION = "_ATOLL_COMPLETE"
DRIVERS = (None, "qemu", "native")


def run_quickly(args: list[str]) -> int | None:
    """Run the command line if it is one of those; returns its exit code, None when click must see it."""
    if len(args) < 2 or args[0] not in ("run", "exec") or COMPLETION in os.environ:
        return None
    if (os.environ.get("ATOLL_DRIVER") or None) not in DRIVERS:
        return None
    if args[0] == "run":
        values = parse(RUN_OPTIONS, args[1:], "image", 1)
    else:
        values = parse(EXEC_OPTIONS, args[1:], "container", 2)
    return None if values is None else guarded(lambda: _carry_out(args[0], values))


def _carry_out(command: str, values: dict[str, Any]) -> int:
    from .target import Target

    environ = os.environ
    target = Target(
        machine=environ.get("ATOLL_MACHINE") or "default",
        driver=environ.get("ATOLL_DRIVER") or None,
        host=environ.get("ATOLL_HOST") or None,
    )
    try:
        if command == "run":
            from .launch import run_container

            return run_container(target, values)
        from .execution import execute

        return execute(target, **values)
    finally:
        target.close()


def parse(options: Sequence[Option], words: Sequence[str], subject: str, least: int) -> dict[str, Any] | None:
    """Take a command line apart (pure); None when it is for click.

    Arguments:
        subject: parameter of the first argument; the others become `command`.
        least: how many arguments there must be.
    """
    by_name = {name: option for option in options for name in option.names}
    values = {option.parameter: option.default for option in options}
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            break
        if word == "-" or not word.startswith("-"):
            at -= 1
            break
        taken = _take(by_name, values, word, words[at] if at < len(words) else None)
        if taken is None:
            return None
        at += taken
    rest = words[at:]
    if len(rest) < least:
        return None
    return {**values, subject: rest[0], "command": tuple(rest[1:])}


def _take(by_name: dict[str, Option], values: dict[str, Any], word: str, following: str | None) -> int | None:
    """Take one word of options; returns how many of the following were its value, None for click's."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        option = by_name.get(name)
        if option is None:
            return None
        if option.takes_value:
            return _set(values, option, value if equals else following, 0 if equals else 1)
        return _set_flag(values, option, value if equals else "true")
    for index, letter in enumerate(word[1:], 2):
        option = by_name.get(f"-{letter}")
        if option is None:
            return None
        if option.takes_value:
            rest = word[index:]
            if rest.startswith("="):
                return _set(values, option, rest[1:], 0)
            return _set(values, option, rest or following, 0 if rest else 1)
        values[option.parameter] = option.kind == FLAG
    return 0


def _set(values: dict[str, Any], option: Option, value: str | None, taken: int) -> int | None:
    if value is None:
        return None
    if option.kind == MANY:
        values[option.parameter] = (*values[option.parameter], value)
    elif option.kind == NUMBER:
        try:
            values[option.parameter] = int(value)
        except ValueError:
            return None
    else:
        values[option.parameter] = value
    return taken


def _set_flag(values: dict[str, Any], option: Option, value: str) -> int | None:
    if value not in TRUE | FALSE:
        return None
    on = value in TRUE
    if on or option.kind == SWITCH:
        values[option.parameter] = on
    return 0
