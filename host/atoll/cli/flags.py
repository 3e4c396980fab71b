"""Click's options, made of the rows in `options`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from .options import FLAG, MANY, NUMBER, SWITCH, Option

F = TypeVar("F", bound=Callable[..., Any])


def with_options(options: Sequence[Option]) -> Callable[[F], F]:
    """Decorate a command with options."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = _to_click(option)(function)
        return function

    return decorate


def _to_click(option: Option) -> Callable[[F], F]:
    if option.kind == FLAG:
        return click.option(*option.names, is_flag=True, help=option.help)
    if option.kind == SWITCH:
        name = option.names[-1]
        return click.option(f"{name}/--no-{name[2:]}", default=True, help=option.help)
    kind = click.INT if option.kind == NUMBER else click.STRING
    multiple = option.kind == MANY
    return click.option(*option.names, type=kind, multiple=multiple, metavar=option.metavar, help=option.help)
