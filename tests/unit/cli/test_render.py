"""What the person sees: widths, sizes, times, templates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.cli.ps import format_ports, summarize
from atoll.cli.render import format_table, human_duration, human_size
from atoll.cli.template import render
from atoll.errors import ConfigError

CELLS = st.text(max_size=120)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=10))
def test_table_fits_80_columns_and_keeps_one_line_per_row(rows: list[tuple[str, str, str]]) -> None:
    lines = format_table(
        [dict(zip(("id", "command", "names"), row, strict=True)) for row in rows], ["id", "command", "names"], 80
    )
    assert len(lines) == len(rows) + 1
    assert all(len(line) <= 80 and "\n" not in line and "\x1b" not in line for line in lines)


def test_table_cuts_the_widest_column_only() -> None:
    rows = [{"id": "0123456789ab", "command": "x" * 200, "names": "bob"}]
    heading, line = format_table(rows, ["id", "command", "names"], 60)
    assert heading.split() == ["ID", "COMMAND", "NAMES"]
    assert "0123456789ab" in line and "bob" in line and "…" in line


def test_table_without_rows_has_headings() -> None:
    assert format_table([], ["image_id"], 80) == ["IMAGE ID"]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (1234, "1.23kB"),
        (999_999, "1MB"),
        (123_456_789, "123MB"),
        (10**15, "1PB"),
    ],
)
def test_human_size(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (150, "2 minutes"),
        (3700, "About an hour"),
        (7300, "2 hours"),
        (86400 * 3, "3 days"),
        (86400 * 20, "2 weeks"),
        (86400 * 100, "3 months"),
        (86400 * 800, "2 years"),
    ],
)
def test_human_duration(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_template() -> None:
    value = {
        "State": {"ExitCode": 3, "Running": False, "Health": None},
        "Env": ["a=1", "b=2"],
        "Labels": {"b": "2", "a": "1"},
    }
    assert render("{{.State.ExitCode}}\\t{{ .State.Running }}", value) == "3\tfalse"
    assert render("{{json .Env}} {{len .Env}}", value) == '["a=1","b=2"] 2'
    assert render("{{.Env}} {{.Labels}} {{.State.Health}}", value) == "[a=1 b=2] map[a:1 b:2] <no value>"


@pytest.mark.parametrize("template", ["{{block .Env}}", "{{.Nope}}", "{{.State.Nope.More}}", "{{.Env"])
def test_template_beyond_what_is_known_is_refused(template: str) -> None:
    with pytest.raises(ConfigError):
        render(template, {"State": {}, "Env": []})


def test_ports() -> None:
    assert format_ports([]) == ""
    ports = [
        {"PrivatePort": 80, "PublicPort": 8080, "Type": "tcp", "IP": "::"},
        {"PrivatePort": 80, "PublicPort": 8080, "Type": "tcp", "IP": "0.0.0.0"},
        {"PrivatePort": 53, "Type": "udp"},
    ]
    assert format_ports(ports) == "53/udp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"  # type: ignore[arg-type]


def test_row_of_a_container() -> None:
    row = summarize(
        {
            "Id": "f" * 64,
            "Names": ["/web"],
            "Command": "sh -c 'sleep 1000 && true'",
            "Created": 100,
            "State": "running",
        },
        160,
        trunc=True,
    )
    assert row["ID"] == "f" * 12
    assert row["Names"] == "web"
    assert row["Command"] == '"sh -c \'sleep 1000 &…"'
    assert row["RunningFor"] == "About a minute ago"
