"""Which containers pass the filters of a list (`docker ps --filter`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..api.errors import AgentError, invalid
from ..images.reference import parse_reference
from .filters import is_true, matches_labels
from .ports import parse_exposed
from .records import CREATED, EXITED, REMOVING, RESTARTING, RUNNING, Container

STATES = (CREATED, RESTARTING, RUNNING, REMOVING, "paused", EXITED, "dead")
HEALTHS = ("none", "starting", "healthy", "unhealthy")


def matches_container(container: Container, filters: dict[str, list[str]], find: Callable[[str], Container]) -> bool:
    """Whether a container passes: of the values of a filter any, of the filters all (of labels all values).

    Arguments:
        find: another container by name or id, for `before` and `since`; or raises.

    Raises:
        AgentError: a filter that Docker does not know, or a value that makes no sense.
    """
    tests = _tests(container, find)
    for key, wanted in filters.items():
        if key in ("label", "label!"):
            continue
        if key not in tests:
            raise invalid(f"invalid filter '{key}'")
        if wanted and not any(tests[key](value) for value in wanted):
            return False
    return matches_labels(container.config.get("Labels") or {}, filters)


def _tests(container: Container, find: Callable[[str], Container]) -> dict[str, Callable[[str], bool]]:
    state = container.state
    status = "paused" if state.paused else state.status
    return {
        "id": lambda value: container.id.startswith(value),
        "name": lambda value: _name_matches(value, container.name),
        "status": lambda value: _one_of("status", value, STATES) == status,
        "health": lambda value: _one_of("health", value, HEALTHS) == (state.health.status if state.health else "none"),
        "ancestor": lambda value: _is_ancestor(value, container),
        "exited": lambda value: _number("exited", value) == state.exit_code and state.status == EXITED,
        "network": lambda value: (
            value in container.endpoints or any(a.network.startswith(value) for a in state.attachments if value)
        ),
        "volume": lambda value: any(value in (p.get("Name"), p["Destination"]) for p in container.mounts),
        "before": lambda value: container.created_ns < find(value).created_ns,
        "since": lambda value: container.created_ns > find(value).created_ns,
        "expose": lambda value: bool(_ports(value) & _exposed(container.config)),
        "publish": lambda value: bool(_ports(value) & {(port.protocol, port.target_port) for port in state.ports}),
        "isolation": lambda value: value == "default",
        "is-task": lambda value: not is_true(value),
    }


def _one_of(key: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise invalid(f"invalid filter '{key}={value[:40]}'")
    return value


def _number(key: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise invalid(f"invalid filter '{key}={value[:40]}': a number is expected") from None


def _ports(text: str) -> set[tuple[str, int]]:
    """`80`, `80/udp` or `80-90/tcp` as protocols and ports."""
    protocol, first, last = parse_exposed(text)
    return {(protocol, number) for number in range(first, last + 1)}


def _exposed(config: dict[str, Any]) -> set[tuple[str, int]]:
    return {port for text in config.get("ExposedPorts") or {} for port in _ports(text)}


def _is_ancestor(value: str, container: Container) -> bool:
    plain = container.image_id.removeprefix("sha256:")
    if value in (container.image, container.image_id) or plain.startswith(value):
        return True
    try:
        return str(parse_reference(value)) == str(parse_reference(container.image))
    except AgentError:
        return False


def _name_matches(pattern: str, name: str) -> bool:
    """Docker's: a regular expression that may begin with the slash, or a part of the name."""
    if pattern.removeprefix("/") in name:
        return True
    try:
        return bool(re.search(pattern, name) or re.search(pattern, f"/{name}"))
    except re.error:
        return False
