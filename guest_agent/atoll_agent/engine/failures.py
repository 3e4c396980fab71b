"""Why a program could not be started, in the words and exit codes that clients look for."""

from __future__ import annotations

import errno
from typing import Any

from ..api.errors import AgentError, Kind
from .supervision import StartFailed

NOT_EXECUTABLE, NOT_FOUND_CODE, ENGINE_FAILED = 126, 127, 128


def explain_failure(failed: StartFailed, config: dict[str, Any]) -> tuple[AgentError, int]:
    """The error and exit code of a failed start, in the words clients look for."""
    program = ([*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])] or [""])[0]
    prefix = "failed to create task for container: "
    if failed.stage == "exec":
        text, code = explain_exec(failed.errno, program, failed.detail)
        return AgentError(Kind.INVALID, f"{prefix}{text}"), code
    if failed.stage == "resolve user":
        return AgentError(Kind.INVALID, failed.detail), ENGINE_FAILED - 2
    kind = Kind.INVALID if failed.stage.startswith(("working directory", "mount ")) else Kind.SYSTEM
    return AgentError(kind, f"{prefix}cannot start container: {failed.stage}: {failed.detail.lower()}"), ENGINE_FAILED


def explain_exec(code: int, program: str, detail: str) -> tuple[str, int]:
    """Text and exit code for a program that could not be executed."""
    if code in (errno.ENOENT, errno.ENOTDIR):
        if "/" in program:
            return f'exec: "{program}": stat {program}: no such file or directory', NOT_FOUND_CODE
        return f'exec: "{program}": executable file not found in $PATH', NOT_FOUND_CODE
    if code == errno.ENOEXEC:
        return f'exec: "{program}": exec format error (is the image for this architecture?)', NOT_EXECUTABLE
    return f'exec: "{program}": {detail.lower()}', NOT_EXECUTABLE
