"""`atoll run` and `atoll create`, as click sees them."""

from __future__ import annotations

from typing import Any

import click

from ..errors import ConfigError
from . import exits
from .flags import with_options
from .launch import Launch, run_container
from .lazy import DockerCommand, pass_target
from .options import CONTAINER_OPTIONS, RUN_OPTIONS
from .render import out
from .target import Target

CONTEXT = {"allow_interspersed_args": False}

RUN_EXAMPLES = """\b
Examples:
  atoll run --rm atoll/base echo hello
  atoll run --rm -it -v src:/src -w /src atoll/base sh
  echo text | atoll run --rm -i atoll/base wc -c
  atoll run -d --name job -m 256m --cpus 1.5 --pids-limit 100 atoll/base sleep 60

\b
Exit codes: the container's own; 125 when the engine failed, 126 when the command
cannot be executed, 127 when it was not found. ctrl-p ctrl-q leaves a container
started with -it without ending it.
"""


@click.command(cls=DockerCommand, failure_code=exits.ENGINE_FAILED, context_settings=CONTEXT, epilog=RUN_EXAMPLES)
@with_options(RUN_OPTIONS)
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_target
def run(target: Target, /, **raw: Any) -> int:
    """Create and run a new container from IMAGE.

    Everything after IMAGE is the command and its arguments.
    """
    return run_container(target, raw)


@click.command(cls=DockerCommand, failure_code=exits.ENGINE_FAILED, context_settings=CONTEXT)
@with_options(CONTAINER_OPTIONS)
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_target
def create(target: Target, /, **raw: Any) -> None:
    """Create a container without starting it, and print its id."""
    try:
        out(Launch(target, {**raw, "detach_keys": None, "sig_proxy": True}).create())
    except ConfigError as error:  # as Docker's: wrong flags are 125, an engine's refusal is 1
        raise exits.ExitWith(error, exits.ENGINE_FAILED) from error
