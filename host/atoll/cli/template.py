"""`--format`: the part of Go's templates that people use with Docker.

`{{.Field.Sub}}`, `{{json .Field}}`, `{{.}}`, text around them, `\\t` and `\\n`. What is beyond that is refused by name
rather than printed wrong; for it there is `--format json` and any JSON tool.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigError
from .render import out, print_json, print_table

_PLACE = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_EXPRESSION = re.compile(r"(?:(json|upper|lower|len)\s+)?(\.[\w.\-]*)")
TABLE = "table"


def print_list(rows: Sequence[Mapping[str, str]], columns: Mapping[str, str], format: str | None) -> None:
    """Print rows as a table, as JSON (one line each), or by a template.

    Arguments:
        rows: dicts by field, in Docker's spelling.
        columns: heading by field, of what the table shows by default.
        format: the value of `--format`.
    """
    if format is None or format == TABLE:
        _print_columns(rows, columns)
    elif format == "json":
        for row in rows:
            print_json(row, compact=True)
    elif format.startswith(TABLE + " "):
        fields = [match[2].lstrip(".") for match in _EXPRESSION.finditer(format)]
        _print_columns(rows, {field: columns.get(field, field) for field in fields})
    else:
        for row in rows:
            out(render(format, row))


def _print_columns(rows: Sequence[Mapping[str, str]], columns: Mapping[str, str]) -> None:
    headings = list(columns.values())
    print_table([{columns[field]: row.get(field, "") for field in columns} for row in rows], headings)


def render(template: str, value: Any) -> str:
    """Fill a template from a value.

    Raises:
        ConfigError: an expression beyond the part that is known, or a field that is not there.
    """
    text = template.replace("\\t", "\t").replace("\\n", "\n")
    return _PLACE.sub(lambda match: _evaluate(match[1], value), text)


def _evaluate(expression: str, value: Any) -> str:
    match = _EXPRESSION.fullmatch(expression)
    if not match:
        raise ConfigError(
            f"unsupported format: {{{{{expression}}}}}", "use {{.Field}}, {{json .Field}} or --format json"
        )
    found = _find(match[2], value)
    match match[1]:
        case "json":
            return json.dumps(found, separators=(",", ":"))
        case "upper":
            return _format(found).upper()
        case "lower":
            return _format(found).lower()
        case "len":
            return str(len(found)) if isinstance(found, str | list | dict) else "0"
        case _:
            return _format(found)


def _find(path: str, value: Any) -> Any:
    for name in filter(None, path.split(".")):
        if not isinstance(value, Mapping) or name not in value:
            raise ConfigError(f"no field {name!r} in {path!r}", "see what there is with `--format json`")
        value = value[name]
    return value


def _format(value: Any) -> str:
    """Format as Go does where it matters: booleans in lower case, nothing as `<no value>`, lists in brackets."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + " ".join(_format(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{_format(value[key])}" for key in sorted(value)) + "]"
    return str(value)
