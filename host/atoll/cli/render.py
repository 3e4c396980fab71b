"""The only place that prints.

Results go to stdout, everything said to a person while working goes to stderr, so `atoll ps -q | xargs` never meets a
progress line. Colours and progress bars appear on a terminal only; `NO_COLOR` turns colours off everywhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any

GAP = 3
LEAST_WIDTH = 10
"""Of a column with its gap, as Docker lays out its tables."""
ELLIPSIS = "…"
MIN_COLUMN = 6


def _colour(stream: IO[str]) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")


def _width() -> int:
    """Columns of the terminal; 80 in a pipe would cut what a program wants whole, so there it is unlimited."""
    if not sys.stdout.isatty():
        return 10_000
    try:
        return max(40, os.get_terminal_size(sys.stdout.fileno()).columns)
    except OSError:
        return 80


def is_terminal() -> bool:
    """Whether what is printed goes to a terminal."""
    return sys.stdout.isatty()


def is_person() -> bool:
    """Whether what is said goes to a terminal."""
    return sys.stderr.isatty()


def out(text: str = "") -> None:
    """Print one line of a result."""
    print(text)


def out_bytes(data: bytes, *, error: bool = False) -> None:
    """Pass a container's bytes on as they are, at once."""
    stream = sys.stderr.buffer if error else sys.stdout.buffer
    stream.write(data)
    stream.flush()


def say(text: str) -> None:
    """Tell the person at the terminal what is going on (stderr)."""
    print(text, file=sys.stderr)


def warn(text: str) -> None:
    """Tell something that may be wrong, but does not stop the command (stderr)."""
    print(_label("warning", "yellow") + text, file=sys.stderr)


def fail(message: str, hint: str = "") -> None:
    """Tell why the command stops, and what to do (stderr)."""
    print(_label("error", "red") + message, file=sys.stderr)
    if hint:
        print(_label("hint", "cyan") + hint, file=sys.stderr)


def _label(word: str, colour: str) -> str:
    text = f"{word}: "
    if not _colour(sys.stderr):
        return text
    import click

    return click.style(text, fg=colour, bold=True)


def print_json(value: Any, *, compact: bool = False) -> None:
    """Print a value as JSON; `compact` on one line, as lists do it row by row."""
    import json

    layout: dict[str, Any] = {"separators": (",", ":")} if compact else {"indent": 4}
    print(json.dumps(value, ensure_ascii=False, **layout))


def print_table(rows: Sequence[dict[str, str]], columns: Sequence[str], *, width: int | None = None) -> None:
    """Print rows under upper-case headings, cut to the terminal's width.

    Arguments:
        rows: one dict per line; a missing column is empty.
        columns: keys of the rows, in order; `_` in a key is a space in its heading.
        width: columns to fit into; the terminal's by default, unlimited in a pipe.
    """
    for line in format_table(rows, columns, _width() if width is None else width):
        print(line)


def format_table(rows: Sequence[dict[str, str]], columns: Sequence[str], width: int) -> list[str]:
    """Lay out a table (pure): no line is longer than `width` as long as every column can keep a few characters."""
    heads = [column.replace("_", " ").upper() for column in columns]
    cells = [[_one_line(row.get(column, "")) for column in columns] for row in rows]
    wanted = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(columns))]
    wanted[:-1] = [max(size, LEAST_WIDTH - GAP) for size in wanted[:-1]]
    widths = _fit(wanted, [max(MIN_COLUMN, len(head)) for head in heads], width - GAP * (len(columns) - 1))
    return [_lay_out(line, widths) for line in [heads, *cells]]


def _lay_out(line: list[str], widths: list[int]) -> str:
    cut = [text[: size - 1] + ELLIPSIS if len(text) > size else text for text, size in zip(line, widths, strict=True)]
    return "".join(text.ljust(size + GAP) for text, size in zip(cut[:-1], widths[:-1], strict=True)) + cut[-1]


def align(text: str, least_width: int = LEAST_WIDTH) -> str:
    """Turn tabs into columns (pure): each as wide as its cells in the lines above and below that have it, too."""
    lines = [line.split("\t") for line in text.split("\n")]
    result = ["" for _ in lines]
    for column in range(max(map(len, lines))):
        start = 0
        while start < len(lines):
            end = start
            while end < len(lines) and len(lines[end]) > column + 1:
                end += 1
            width = max((len(line[column]) + GAP for line in lines[start:end]), default=0)
            for at in range(start, end):
                result[at] += lines[at][column].ljust(max(width, least_width))
            if end < len(lines) and len(lines[end]) == column + 1:
                result[end] += lines[end][column]
            start = end + 1
    return "\n".join(result)


def _one_line(text: str) -> str:
    """Control characters (a container's command may hold any) would break the table or drive the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def _fit(wanted: list[int], least: list[int], room: int) -> list[int]:
    """Take width from the widest column until all fit; ids and names are short and stay whole."""
    widths = list(wanted)
    while sum(widths) > room:
        candidates = [i for i in range(len(widths)) if widths[i] > least[i]]
        if not candidates:
            break
        widest = max(candidates, key=lambda i: widths[i])
        widths[widest] -= 1
    return widths


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show progress in bytes (or steps) while the block runs; gives a function to call with each amount done.

    Silent when stderr is not a terminal: a log needs the outcome, not the way.
    """
    if not sys.stderr.isatty() or not total:
        if not sys.stderr.isatty():
            yield lambda done: None
            return
        say(f"{label} ...")
        yield lambda done: None
        return
    import click

    with click.progressbar(length=total, label=label, file=sys.stderr, show_pos=False) as bar:
        yield bar.update


def human_size(size_bytes: float, digits: int = 3) -> str:
    """Format a size as Docker does: decimal units, three significant digits or (totals) four."""
    return _human(size_bytes, 1000, ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"), digits)


def binary_size(size_bytes: float) -> str:
    """Format memory as Docker does: binary units, four significant digits."""
    return _human(size_bytes, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"), 4)


def _human(value: float, base: int, units: Sequence[str], digits: int) -> str:
    at = 0
    while float(f"{value:.{digits}g}") >= base and at < len(units) - 1:
        value, at = value / base, at + 1
    return f"{value:.{digits}g}{units[at]}"


def clear_screen() -> None:
    """Begin a live table at the top of an empty terminal."""
    sys.stdout.write("\033[H\033[2J")


def ask(question: str) -> bool:
    """Ask a person at the terminal; anything but y or yes is a no, silence too."""
    print(question, end=" ", flush=True)
    answer = sys.stdin.readline()
    return answer.strip().lower() in ("y", "yes")


def human_duration(seconds: float) -> str:
    """Format a span as Docker does: one rough unit (`About a minute`, `3 hours`)."""
    whole = int(max(0, seconds))
    minutes, hours = whole // 60, (whole + 1800) // 3600  # hours are rounded, all else is cut
    if whole < 60:
        return {0: "Less than a second", 1: "1 second"}.get(whole, f"{whole} seconds")
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for limit, unit, name in ((14, 1, "days"), (60, 7, "weeks"), (730, 30, "months")):
        if hours < limit * 24:
            return f"{hours // 24 // unit} {name}"
    return f"{hours // 24 // 365} years"
