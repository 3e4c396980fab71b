"""Go's templates: what people write with `--format`, and what nobody should."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.cli.gotemplate import TemplateError, execute, parse_template
from atoll.cli.render import align
from atoll.cli.template import print_list
from atoll.errors import ConfigError

VALUE: dict[str, Any] = {
    "Name": "/web",
    "State": {"Running": True, "ExitCode": 0, "Health": None},
    "Config": {"Env": ["A=1", "B=2"], "Labels": {"com.x": "y", "b": ""}},
    "Networks": {"front": {"IPAddress": "10.0.0.2"}, "back": {"IPAddress": "10.1.0.2"}},
    "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "53/udp": None},
    "Size": 12,
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}} {{ .State.Running }}", "/web true"),
        ("{{range .Networks}}{{.IPAddress}},{{end}}", "10.1.0.2,10.0.0.2,"),
        ("{{range $name, $net := .Networks}}{{$name}}={{$net.IPAddress}} {{end}}", "back=10.1.0.2 front=10.0.0.2 "),
        ("{{range $at, $e := .Config.Env}}{{$at}}{{$e}};{{end}}", "0A=1;1B=2;"),
        ("{{range .Config.Labels.nope}}x{{else}}none{{end}}", "none"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        ('{{index .Config.Labels "com.x"}}|{{index .Config.Labels "nope"}}', "y|"),
        ("{{.Config.Labels.nope}}", "<no value>"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ('{{if eq .Name "/db"}}a{{else if .State.ExitCode}}b{{else}}c{{end}}', "c"),
        ("{{if not .State.Health}}no{{end}} {{with .State}}{{.ExitCode}}{{end}}", "no 0"),
        ('{{join .Config.Env ", "}} {{len .Config.Env}} {{json .Config.Labels}}', 'A=1, B=2 2 {"com.x":"y","b":""}'),
        ("{{.Name | slice 1}}", None),
        ('{{slice .Name 1}} {{upper .Name}} {{.Name | upper | printf "%5s|"}}', "web /WEB  /WEB|"),
        ('{{printf "%q %d %v" .Name .Size .Config.Env}}', '"/web" 12 [A=1 B=2]'),
        ("{{$x := .Size}}{{if gt $x 10}}big{{end}} {{$.Name}}", "big /web"),
        ("a {{- /* gone */ -}} b", "ab"),
        ("{{println .Name}}{{split .Name `/`}}", "/web\n[ web]"),
        (
            "{{.Config.Labels}} {{.Ports}}",
            "map[b: com.x:y] map[53/udp:<nil> 80/tcp:[map[HostIp:0.0.0.0 HostPort:8080]]]",
        ),
        (
            '{{and .Size .Name}} {{or "" .Name}} {{title "a b"}}{{pad "x" 1 2}}{{truncate .Name 2}}',
            "/web /web A B x  /w",
        ),
    ],
)
def test_template(template: str, text: str | None) -> None:
    if text is None:
        with pytest.raises(TemplateError):
            execute(parse_template(template), VALUE)
    else:
        assert execute(parse_template(template), VALUE) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{.Nope}}", "{{if .Name}}", "{{end}}", "{{range .Name}}x{{end}}", "{{nope .Name}}", "{{.Name .Size}}",
        "{{$x}}",
        "{{index .Config.Env 7}}", "{{.Name", "{{}}", "{{(.Name}}", "{{join .Name}}", "{{else}}", "{{.Name | .Size}}",
        "{{if .Name}}x{{else if}}y{{end}}", "{{range $x := }}{{end}}", "{{upper json .Name}}",
    ],
)  # fmt: skip
def test_template_that_is_wrong(template: str) -> None:
    with pytest.raises(TemplateError):
        execute(parse_template(template), VALUE)


PIECES = [
    "{{", "}}", "{{if ", "{{range ", "{{end}}", "{{else}}", ".Name", ".Config.Env", "$x", ":=", "|", "(", ")", " ",
    "json", '"',
    "`", "1", "-", "/*", "*/", "index", "printf", "%d", "x", "else if ",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_any_template_gives_text_or_says_what_is_wrong(pieces: list[str]) -> None:
    with contextlib.suppress(TemplateError):
        assert isinstance(execute(parse_template("".join(pieces)), VALUE), str)


def test_nesting_has_a_bound() -> None:
    with pytest.raises(TemplateError, match="deep"):
        parse_template("{{if .A}}" * 5000)


def test_tabs_become_columns() -> None:
    assert align("A\tB\nlonger than ten\tx") == "A                 B\nlonger than ten   x"
    assert align("A\tB") == "A         B"
    assert align("one\ttwo\nalone\nthree\tfour") == "one       two\nalone\nthree     four"


def test_list_as_table_template_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"Name": "a", "ID": "1", "Label": lambda name: f"<{name}>"},
        {"Name": "b", "ID": "2", "Label": lambda n: ""},
    ]
    columns = {"ID": "thing_id", "Name": "name"}
    for format, text in (
        (None, "THING ID   NAME\n1          a\n2          b\n"),
        ("table", "THING ID   NAME\n1          a\n2          b\n"),
        ("table {{.Name}}\\t{{upper .ID}}", "NAME      THING ID\na         1\nb         2\n"),
        ('{{.Name}}{{.Label "x"}}', "a<x>\nb\n"),
        ("json", '{"ID":"1","Name":"a"}\n{"ID":"2","Name":"b"}\n'),
        ("{{json .}}", '{"ID":"1","Name":"a"}\n{"ID":"2","Name":"b"}\n'),
    ):
        print_list(rows, columns, format)
        assert capsys.readouterr().out == text
    with pytest.raises(ConfigError, match="'Nope'"):
        print_list(rows, columns, "{{.Nope}}")
