"""Groups that import a command when it is called, and commands that take booleans as Docker's do.

`atoll run` is paid for in milliseconds, so nothing but the module of the command at hand may be imported; the one-line
help of the others therefore stands in the table of commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click

from .target import Target
from .values import FALSE, TRUE

pass_target = click.make_pass_decorator(Target, ensure=True)


class Entry(NamedTuple):
    """Where a command is and what it does.

    Attributes:
        place: `module:attribute`, the module relative to `atoll.cli`.
        help: one line for the list of commands.
        hidden: an alias, or a command for programs.
    """

    place: str
    help: str
    hidden: bool = False


class LazyGroup(click.Group):
    """A group whose commands are in a table."""

    def __init__(self, *args: Any, table: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._table.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.place.partition(":")
        command = getattr(import_module(f".{module}", __package__), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.place} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, entry.help) for name, entry in self._table.items() if not entry.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self._table.get(args[0]) is None and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], [name for name, entry in self._table.items() if not entry.hidden], 1)
            raise click.UsageError(
                f"unknown command {args[0]!r}" + (f", did you mean {close[0]!r}?" if close else ""), ctx
            )
        return super().resolve_command(ctx, args)


class DockerCommand(click.Command):
    """A command whose flags also take `=true` and `=false`, as every flag of Docker's does.

    Arguments:
        failure_code: exit code for wrong usage; `run` keeps the container's codes free by using 125.
    """

    def __init__(self, *args: Any, failure_code: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.failure_code = failure_code

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            words = rewrite_booleans(self.params, args, interspersed=ctx.allow_interspersed_args)
            return super().parse_args(ctx, words)
        except click.UsageError as error:
            # Click's parser leaves the context out of some errors; without it the exit code would not be known.
            error.ctx = error.ctx or ctx
            raise


def rewrite_booleans(params: list[click.Parameter], args: list[str], *, interspersed: bool = True) -> list[str]:
    """Rewrite `--flag=true` to `--flag`, `--flag=false` to its negation or to nothing, `-m=x` to `-m x` (pure).

    Arguments:
        interspersed: whether options may follow arguments; otherwise the first argument ends them.
    """
    flags: dict[str, click.Option] = {}
    taking: set[str] = set()
    for option in params:
        if isinstance(option, click.Option):
            for name in [*option.opts, *option.secondary_opts]:
                if option.is_flag:
                    flags[name] = option
                else:
                    taking.add(name)
    result: list[str] = []
    at = 0
    while at < len(args):
        word = args[at]
        if word == "--" or ((word == "-" or not word.startswith("-")) and not interspersed):
            break
        name, equals, value = word.partition("=")
        if equals and name in flags and value in TRUE | FALSE:
            negation = flags[name].secondary_opts
            if value in TRUE:
                result.append(name)
            elif negation:
                result.append(negation[0])
        elif (split := _split_short(word, taking)) is not None:
            result += split
        else:
            result.append(word)
            if _takes_next(word, taking):
                at += 1
                result += args[at : at + 1]
        at += 1
    return result + args[at:]


def _split_short(word: str, taking: set[str]) -> list[str] | None:
    """Split `-m=64m`, which Docker takes for `-m 64m` and click for the value `=64m`."""
    if word.startswith("--"):
        return None
    for at, letter in enumerate(word[1:], 1):
        if f"-{letter}" in taking:
            return [word[: at + 1], word[at + 2 :]] if word[at + 1 : at + 2] == "=" else None
    return None


def _takes_next(word: str, taking: set[str]) -> bool:
    """Whether the word is an option whose value is the next word."""
    if word.startswith("--"):
        return word in taking
    if not word.startswith("-") or len(word) < 2:
        return False
    for at, letter in enumerate(word[1:], 1):
        if f"-{letter}" in taking:
            return at == len(word) - 1
    return False
