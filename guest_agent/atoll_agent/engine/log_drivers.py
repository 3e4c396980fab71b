"""Where a container's output goes: Docker's log drivers and their options, as the runtime wants them told. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..api.errors import AgentError, Kind, invalid
from ..runtime.spec import LogSpec

JSON_FILE, LOCAL, NONE = "json-file", "local", "none"
_COMMON = {"mode", "max-buffer-size"}
_OPTIONS = {
    JSON_FILE: {"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"} | _COMMON,
    LOCAL: {"max-size", "max-file", "compress"} | _COMMON,
    NONE: set(_COMMON),
}
_LOCAL_DEFAULTS = {"max-size": "20m", "max-file": "5"}


def plan_log(host: dict[str, Any], directory: Path) -> LogSpec:
    """The log of a container. Both drivers that keep one write the same file; `local` is bounded unless told otherwise.

    Raises:
        AgentError: an unknown driver or option, or a malformed size.
    """
    config = host.get("LogConfig") or {}
    driver, options = config.get("Type") or JSON_FILE, config.get("Config") or {}
    if driver not in _OPTIONS:
        raise invalid(f"logger: no log driver named '{str(driver)[:40]}' is registered")
    unknown = sorted(set(options) - _OPTIONS[driver])
    if unknown:
        raise invalid(f"unknown log opt '{unknown[0][:40]}' for {driver} log driver")
    if options.get("mode") not in (None, "", "blocking", "non-blocking"):
        raise invalid(f"logger: logging mode not supported: {str(options['mode'])[:40]}")
    if driver == LOCAL:
        options = _LOCAL_DEFAULTS | options
    try:
        max_size, max_file = parse_size(str(options.get("max-size") or "0")), int(options.get("max-file") or 1)
        parse_size(str(options.get("max-buffer-size") or "0"))
    except (ValueError, OverflowError) as error:
        raise invalid(f"invalid log option: {error}") from error
    if max_file < 1:
        raise invalid("max-file cannot be less than 1")
    if str(options.get("compress")).lower() == "true" and driver == JSON_FILE and (max_file < 2 or not max_size):
        raise invalid("compress cannot be true when max-file is less than 2 or max-size is not set")
    if str(options.get("compress")).lower() == "true" and driver == JSON_FILE:
        raise AgentError(Kind.NOT_IMPLEMENTED, "compressed logs are not supported by this version of Atoll")
    path = "" if driver == NONE else str(directory / "output.log")
    return {"path": path, "max_size": max_size, "max_file": max_file}


def parse_size(text: str) -> int:
    """`10m` as bytes; -1 is 0 (no limit).

    Raises:
        ValueError: not a size.
    """
    units = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    plain = text.lower().removesuffix("b") if len(text) > 1 else text
    if plain[-1:] in units:
        return int(float(plain[:-1]) * units[plain[-1]])
    return max(0, int(plain))
