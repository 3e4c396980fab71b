"""`--format`: a template, `table` with a template, or `json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigError
from . import gofunctions, gotemplate
from .render import align, out, print_json, print_table

TABLE = "table"
JSON = "json"
Row = Mapping[str, Any]


def print_list(
    rows: Sequence[Row], columns: Mapping[str, str], format: str | None, headings: Mapping[str, str] | None = None
) -> None:
    """Print rows as a table, as JSON (one line each), or by a template.

    Arguments:
        rows: dicts by field, in Docker's spelling.
        columns: heading by field, of what the table shows by default.
        format: the value of `--format`.
        headings: of the other fields, for `table` with a template; a field's own name when it has none.

    Raises:
        ConfigError: as `render`.
    """
    if format in (None, "", TABLE):
        _print_columns(rows, columns)
    elif format == JSON:
        for row in rows:
            print_json(_fields(row), compact=True)
    elif str(format).startswith(TABLE):
        _print_custom_table(str(format)[len(TABLE) :], rows, {**(headings or {}), **columns})
    else:
        nodes = parse(str(format))
        for row in rows:
            out(_execute(nodes, row))


def _print_columns(rows: Sequence[Row], columns: Mapping[str, str]) -> None:
    keys = list(columns.values())
    print_table([{columns[field]: str(row.get(field, "")) for field in columns} for row in rows], keys)


def _print_custom_table(template: str, rows: Sequence[Row], headings: Mapping[str, str]) -> None:
    nodes = parse(template)
    fields = {*headings, *(name for row in rows for name in row)}
    names = {field: headings.get(field, field).replace("_", " ").upper() for field in fields}
    head = gotemplate.execute_heading(nodes, names)
    out(align("\n".join([head, *(_execute(nodes, row) for row in rows)])))


def _fields(row: Row) -> dict[str, Any]:
    """What is printed of a row as JSON: its fields by name, not its methods."""
    return {name: row[name] for name in sorted(row) if not callable(row[name])}


def parse(template: str) -> tuple[gotemplate.Node, ...]:
    """Parse a template; `\\t` and `\\n` in it are a tab and a new line.

    Raises:
        ConfigError: malformed.
    """
    try:
        return gotemplate.parse_template(template.strip(" ").replace("\\t", "\t").replace("\\n", "\n"))
    except gotemplate.TemplateError as error:
        raise _explain(error) from error


def _execute(nodes: tuple[gotemplate.Node, ...], row: Row) -> str:
    try:
        methods = {name: item for name, item in row.items() if callable(item)}
        return gotemplate.execute(nodes, {**_fields(row), **methods})
    except gotemplate.TemplateError as error:
        raise _explain(error) from error


def render(template: str, value: Any) -> str:
    """Fill a template from a value; `json` is one for all of it.

    Raises:
        ConfigError: a mistake in the template, or a field that is not there.
    """
    if template == JSON:
        return gofunctions.to_json(value)
    try:
        return gotemplate.execute(parse(template), value)
    except gotemplate.TemplateError as error:
        raise _explain(error) from error


def _explain(error: gotemplate.TemplateError) -> ConfigError:
    return ConfigError(f"cannot use --format: {error}", "see what fields there are with --format json")
