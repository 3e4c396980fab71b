"""`atoll exec`, as click sees it."""

from __future__ import annotations

from typing import Any

import click

from .execution import execute
from .flags import with_options
from .lazy import DockerCommand, pass_target
from .options import EXEC_OPTIONS
from .target import Target

EXAMPLES = """\b
Examples:
  atoll exec web ls /srv
  atoll exec -it web sh
  tar c . | atoll exec -i web tar x -C /srv
"""


@click.command("exec", cls=DockerCommand, context_settings={"allow_interspersed_args": False}, epilog=EXAMPLES)
@with_options(EXEC_OPTIONS)
@click.argument("container")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_target
def exec_(target: Target, /, **raw: Any) -> int:
    """Run a command in a running container; the exit code is the command's."""
    return execute(target, **raw)
