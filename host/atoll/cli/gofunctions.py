"""The functions of Go's templates and of Docker's, and how Go prints a value (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

NO_VALUE = "<no value>"


class NilMap(dict[str, Any]):
    """A map that is not there: Go prints it as an empty one, and writes null for it as JSON."""


def format_value(value: Any) -> str:
    """Format as Go does: booleans in lower case, nothing as `<no value>`, lists in brackets, maps by key."""
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _format_float(value)
    if isinstance(value, list):
        return "[" + " ".join(map(_format_inner, value)) + "]"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{_format_inner(value[key])}" for key in sorted(value)) + "]"
    return str(value)


def _format_inner(value: Any) -> str:
    return "<nil>" if value is None else format_value(value)


def _format_float(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)


def is_true(value: Any) -> bool:
    """Whether Go's `if` takes it for true: anything but zero, false, nothing and what is empty."""
    return bool(value)


def to_json(value: Any) -> str:
    """Format as JSON, in one line and in the order of the fields."""
    if isinstance(value, NilMap):
        return "null"
    if isinstance(value, Mapping):
        value = {name: item for name, item in value.items() if not callable(item)}  # a row's methods are no fields
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _index(value: Any, *keys: Any) -> Any:
    """A missing key of a map is its empty value; a place beyond a list is an error."""
    for key in keys:
        if value is None:
            raise ValueError("index of untyped nil")
        if isinstance(value, Mapping):
            value = value.get(key, "" if all(isinstance(found, str) for found in value.values()) else None)
        elif isinstance(key, bool) or not isinstance(key, int) or not 0 <= key < len(value):
            raise IndexError(f"index out of range: {key}")
        else:
            value = value[key]
    return value


def _slice(value: Any, start: int = 0, end: int | None = None) -> Any:
    if not 0 <= start <= (len(value) if end is None else end) <= len(value):
        raise IndexError("slice out of range")
    return value[start:end]


def _printf(text: str, *values: Any) -> str:
    """Go's verbs as Python's: %v and %s print as Go does, %q in double quotes."""
    rest = list(values)

    def fill(match: re.Match[str]) -> str:
        if match[2] == "%":
            return "%"
        if not rest:
            return f"%!{match[2]}(MISSING)"
        value = rest.pop(0)
        if match[2] in "vs":
            return f"%{match[1]}s" % format_value(value)
        if match[2] == "q":
            return json.dumps(str(value), ensure_ascii=False)
        return str(f"%{match[1]}{match[2]}" % value)

    return re.sub(r"%([-+# 0]*\d*(?:\.\d+)?)([vsqdxXfeg%])", fill, text)


def _and(*values: Any) -> Any:
    return next((value for value in values if not is_true(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if is_true(value)), values[-1])


def _equal(first: Any, *others: Any) -> bool:
    return any(first == other for other in others)


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else text


def _truncate(text: str, length: int) -> str:
    return text[:length] if length >= 0 else text


def _println(*values: Any) -> str:
    return " ".join(map(format_value, values)) + "\n"


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": to_json,
    "len": len,
    "index": _index,
    "slice": _slice,
    "join": lambda values, separator: separator.join(values or ()),
    "split": lambda text, separator: text.split(separator),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: re.sub(r"\b[a-z]", lambda match: match[0].upper(), text),
    "pad": _pad,
    "truncate": _truncate,
    "println": _println,
    "print": lambda *values: "".join(map(format_value, values)),
    "printf": _printf,
    "not": lambda value: not is_true(value),
    "and": _and,
    "or": _or,
    "eq": _equal,
    "ne": lambda first, second: first != second,
    "lt": lambda first, second: first < second,
    "le": lambda first, second: first <= second,
    "gt": lambda first, second: first > second,
    "ge": lambda first, second: first >= second,
}
