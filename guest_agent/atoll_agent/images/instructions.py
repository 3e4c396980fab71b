"""The instructions of a Dockerfile that change an image's configuration and nothing else, as `docker commit --change`
and `docker import --change` take them. Pure.

Source: Docker's Dockerfile reference. Variables are not expanded: there is nothing from which they could be.
"""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Callable
from typing import Any

from ..api.errors import AgentError, invalid

MAX_CHANGES = 1000
MAX_LENGTH = 64 * 1024
SHELL = ["/bin/sh", "-c"]
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?", re.ASCII | re.IGNORECASE)
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")

Config = dict[str, Any]


def apply_changes(config: Config, changes: list[str]) -> Config:
    """A configuration with instructions applied, in order; the given one stays as it is.

    Raises:
        AgentError: an instruction that is not one of these, or is malformed.
    """
    if len(changes) > MAX_CHANGES or sum(map(len, changes)) > MAX_LENGTH:
        raise invalid("too many changes")
    changed, commands = copy.deepcopy(config), 0
    for line in _lines(changes):
        word, _, rest = line.partition(" ")
        instruction = _INSTRUCTIONS.get(word.upper())
        if instruction is None:
            raise invalid(f"{word[:40]} is not a valid change command")
        rest = rest.strip()
        if not rest:
            raise invalid(f"{word.upper()} requires at least one argument")
        try:
            instruction(changed, rest)
        except AgentError:
            raise
        except (ValueError, OverflowError) as error:
            raise invalid(f"{word.upper()}: {error}") from error
        commands += word.upper() == "CMD"
        if word.upper() == "ENTRYPOINT" and not commands:
            changed["Cmd"] = None  # it was meant for another entrypoint
    return changed


def _lines(changes: list[str]) -> list[str]:
    """Whole instructions: comments and empty lines left out, continued lines joined."""
    found, open_line = [], ""
    for line in "\n".join(changes).replace("\r\n", "\n").split("\n"):
        text = line.strip() if not open_line else line.rstrip()
        if not text.strip() or text.strip().startswith("#"):
            continue
        if text.endswith("\\"):
            open_line += text[:-1]
            continue
        found.append(re.sub(r"^(\S+)\s+", r"\1 ", (open_line + text).strip()))
        open_line = ""
    return found + ([open_line.strip()] if open_line.strip() else [])


def _json_list(text: str) -> list[str] | None:
    """The exec form, `["a", "b"]`; None for anything else."""
    if not text.startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def _command(config: Config, text: str) -> list[str]:
    listed = _json_list(text)
    return listed if listed is not None else [*(config.get("Shell") or SHELL), text]


def _words(text: str) -> list[str]:
    """Words as Docker splits them: quotes and backslashes protect spaces and are taken away."""
    return shlex.split(text, posix=True)


def _pairs(text: str, name: str) -> list[tuple[str, str]]:
    """`key=value ...`, or the old `key value`."""
    first = text.split(None, 1)[0]
    if "=" not in first:
        key, _, value = text.partition(" ")
        if not value.strip():
            raise invalid(f"{name} must have two arguments")
        return [(key, value.strip())]
    pairs = []
    for word in _words(text):
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise invalid(f"Syntax error - can't find = in {word[:40]!r}. Must be of the form: name=value")
        pairs.append((key, value))
    return pairs


def _cmd(config: Config, text: str) -> None:
    config["Cmd"] = _command(config, text)


def _entrypoint(config: Config, text: str) -> None:
    config["Entrypoint"] = _command(config, text) or None


def _env(config: Config, text: str) -> None:
    env = list(config.get("Env") or [])
    for key, value in _pairs(text, "ENV"):
        item = f"{key}={value}"
        same = [at for at, old in enumerate(env) if old.partition("=")[0] == key]
        if same:
            env[same[0]] = item
        else:
            env.append(item)
    config["Env"] = env


def _label(config: Config, text: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **dict(_pairs(text, "LABEL"))}


def _expose(config: Config, text: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in _words(text):
        match = _PORT.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not match or not 0 <= first <= last <= 65535:
            raise invalid(f"invalid containerPort: {word[:40]}")
        for port in range(first, last + 1):
            ports[f"{port}/{(match[3] or 'tcp').lower()}"] = {}
    config["ExposedPorts"] = ports


def _onbuild(config: Config, text: str) -> None:
    word = text.split(None, 1)[0].upper()
    if word == "ONBUILD":
        raise invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if word in ("FROM", "MAINTAINER"):
        raise invalid(f"{word} isn't allowed as an ONBUILD trigger")
    config["OnBuild"] = [*(config.get("OnBuild") or []), text]


def _user(config: Config, text: str) -> None:
    words = _words(text)
    if len(words) != 1:
        raise invalid("USER requires exactly one argument")
    config["User"] = words[0]


def _volume(config: Config, text: str) -> None:
    listed = _json_list(text)
    names = [name.strip() for name in (listed if listed is not None else _words(text))]
    if not names or not all(names):
        raise invalid("VOLUME specified can not be an empty string")
    config["Volumes"] = {**(config.get("Volumes") or {}), **{name: {} for name in names}}


def _workdir(config: Config, text: str) -> None:
    words = _words(text)
    path = words[0] if len(words) == 1 else text
    parts: list[str] = []
    base = "" if path.startswith("/") else str(config.get("WorkingDir") or "/")
    for part in f"{base}/{path}".split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    config["WorkingDir"] = "/" + "/".join(parts)


def _stopsignal(config: Config, text: str) -> None:
    words = _words(text)
    if len(words) != 1:
        raise invalid("STOPSIGNAL requires exactly one argument")
    config["StopSignal"] = words[0]


def _healthcheck(config: Config, text: str) -> None:
    check: dict[str, Any] = {}
    while text.startswith("--"):
        option, _, text = text.partition(" ")
        key, _, value = option[2:].partition("=")
        text = text.strip()
        if key == "retries" and value.isdigit() and len(value) < 10:
            check["Retries"] = int(value)
        elif key in _TIMES:
            check[_TIMES[key]] = _duration(value)
        else:
            raise invalid(f"unknown flag: --{key[:40]}")
    kind, _, rest = text.partition(" ")
    kind, rest = kind.upper(), rest.strip()
    if kind == "NONE":
        if rest or check:
            raise invalid("HEALTHCHECK NONE takes no arguments")
        config["Healthcheck"] = {"Test": ["NONE"]}
        return
    if kind != "CMD":
        raise invalid(f"Unknown type {kind[:20]!r} in HEALTHCHECK (try CMD)")
    if not rest:
        raise invalid("Missing command after HEALTHCHECK CMD")
    listed = _json_list(rest)
    config["Healthcheck"] = {"Test": ["CMD", *listed] if listed is not None else ["CMD-SHELL", rest], **check}


_TIMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}


def _duration(text: str) -> int:
    pieces = _DURATION.findall(text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text or len(text) > 40:
        raise invalid(f"invalid duration: {text[:40]!r}")
    return sum(int(float(number) * _UNITS[unit]) for number, unit in pieces)


_INSTRUCTIONS: dict[str, Callable[[Config, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
