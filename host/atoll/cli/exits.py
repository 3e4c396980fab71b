"""Exit codes, Docker's: the container's own, 125 the engine failed, 126 cannot be executed, 127 not found."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ..errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

FAILED = 1
ENGINE_FAILED = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127
INTERRUPTED = 130

_NOT_FOUND_TEXTS = ("executable file not found", "no such file or directory", "not found in $path")
_NOT_EXECUTABLE_TEXTS = ("permission denied", "is a directory", "exec format error", "not executable")


class ExitWith(Exception):
    """An error that ends the command with a code of its own."""

    def __init__(self, error: HostError, code: int) -> None:
        super().__init__(error.message)
        self.error = error
        self.code = code


@contextmanager
def engine_failures() -> Iterator[None]:
    """Turn errors inside the block into exit code 125, so that a container's codes are its own."""
    try:
        yield
    except HostError as error:
        raise ExitWith(error, ENGINE_FAILED) from error


def start_failure_code(message: str) -> int:
    """Choose the exit code for an engine's refusal to start a container (pure)."""
    text = message.lower()
    if any(part in text for part in _NOT_FOUND_TEXTS):
        return NOT_FOUND
    if any(part in text for part in _NOT_EXECUTABLE_TEXTS):
        return NOT_EXECUTABLE
    return ENGINE_FAILED


def guarded(work: Callable[[], int]) -> int:
    """Do the work of a command; tell what went wrong and return the exit code."""
    from . import render

    try:
        return work()
    except ExitWith as failure:
        render.fail(failure.error.message, failure.error.hint)
        return failure.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; nobody is left to complain to. Point stdout away so that the flush at the
        # end does not fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except HostError as error:
        render.fail(error.message, error.hint)
        return FAILED
    except OSError as error:
        # Of the computer rather than of Atoll: a full disk, a directory that may not be written.
        text = (error.strerror or str(error)).lower()
        render.fail(f"{error.filename}: {text}" if error.filename else text, "see `atoll doctor`")
        return FAILED


def leave(code: int) -> NoReturn:
    """End the process at once: threads may sit in a read of stdin, and Python's own way out takes several ms."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
