"""Docker's filters of images. Pure but for the clock."""

from __future__ import annotations

import re
import time
from typing import Any

from ..api.errors import invalid
from .filters import is_older, is_true, matches_labels

Filters = dict[str, list[str]]
LIST_FILTERS = {"reference", "dangling", "label", "label!", "before", "since", "until"}
PRUNE_FILTERS = {"dangling", "label", "label!", "until"}


def check_filters(filters: Filters, known: set[str]) -> None:
    """Raise where a filter is not known."""
    unknown = next((key for key in filters if key not in known), None)
    if unknown is not None:
        raise invalid(f"invalid filter '{unknown[:40]}'")


def image_matches(row: dict[str, Any], filters: Filters, moments: dict[str, list[int]] | None = None) -> bool:
    """Whether a row of the list passes all filters but that of names.

    Arguments:
        moments: when the images of `before` and `since` were made, seconds since 1970.
    """
    created, known = row.get("Created", 0), moments or {}
    if (wanted := filters.get("dangling")) and is_true(wanted[0]) == bool(row["RepoTags"]):
        return False
    if not matches_labels(row["Labels"], filters):
        return False
    if any(created >= moment for moment in known.get("before", ())):
        return False
    if any(created <= moment for moment in known.get("since", ())):
        return False
    until = filters.get("until") or []
    return not until or is_older(created * 10**9, until, time.time_ns())


def matches_reference(name: str, patterns: list[str]) -> bool:
    """Whether a name, or its repository, matches one of Docker's shell patterns, in which `*` does not match a slash.

    Raises:
        AgentError: a malformed pattern.
    """
    repository = name.partition("@")[0] if "@" in name else name.rpartition(":")[0]
    return any(_pattern(pattern).fullmatch(form) for form in (name, repository) for pattern in patterns)


def _pattern(text: str) -> re.Pattern[str]:
    """Go's path.Match as a regular expression."""
    out, at = [], 0
    while at < len(text):
        character = text[at]
        if character == "[" and (end := text.find("]", at + 2)) > 0:
            inner = text[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            out.append(f"[{inner}]")
            at = end
        elif character == "[":
            raise invalid("invalid filter 'reference': syntax error in pattern")
        elif character == "\\" and at + 1 < len(text):
            at += 1
            out.append(re.escape(text[at]))
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(character) or re.escape(character))
        at += 1
    try:
        return re.compile("".join(out))
    except re.error as error:
        raise invalid(f"invalid filter 'reference': {error}") from error
