"""Exit codes, Docker's: the container's own, 125 the engine failed, 126 cannot be executed, 127 not found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..errors import HostError

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
    from ..errors import HostError

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
