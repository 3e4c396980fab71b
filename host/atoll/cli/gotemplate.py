"""Go's text templates, as much as Docker's `--format` is used with (pure).

Actions `{{.Field.Sub}}`, `if`, `else if`, `with`, `range` (with `$key, $value :=`), variables, pipes, parentheses,
`{{-` and `-}}`, comments, and the functions in `FUNCTIONS`. A value is what JSON gives: dict, list, str, int ...
What is beyond that is refused by name rather than printed wrong.

The language: https://pkg.go.dev/text/template
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .gofunctions import FUNCTIONS, NilMap, format_value, is_true

MAX_DEPTH = 100
MAPS = frozenset({
    "Labels", "Annotations", "Options", "Sysctls", "Volumes", "ExposedPorts", "Ports", "Networks", "PortBindings",
    "Tmpfs", "Containers", "DriverOpts", "StorageOpt", "Attributes", "Data",
})  # fmt: skip
"""Fields that hold names of the user's: what is missing there is no value, not a mistake in the template."""
_ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)|(?P<path>\$?\w*(?:\.[\w]+)+|\$\w*|\.)"""
    r"""|(?P<word>[A-Za-z_]\w*)|(?P<mark>:=|[()|,=]))"""
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "'": "'"}


class TemplateError(ValueError):
    """The template is wrong, or does not fit the value."""


class Node(NamedTuple):
    """One part of a template: `text`, `print`, `set`, `if`, `with` or `range`.

    Attributes:
        value: the text; the tokens of the expression otherwise.
        names: variables that are set.
        body: what is printed when it is true, once per item.
        otherwise: what is printed when it is not.
    """

    kind: str
    value: Any
    names: tuple[str, ...] = ()
    body: tuple[Node, ...] = ()
    otherwise: tuple[Node, ...] = ()


class Token(NamedTuple):
    """A word of an expression; kind is `string`, `number`, `path`, `word` or `mark`."""

    kind: str
    text: str


def parse_template(text: str) -> tuple[Node, ...]:
    """Parse a template.

    Raises:
        TemplateError: malformed.
    """
    parts = list(_split(text))
    nodes, rest = _parse_nodes(parts, 0, 0)
    if rest < len(parts):
        raise TemplateError(f"unexpected {{{{{parts[rest][1]}}}}}")
    return nodes


def execute(nodes: Sequence[Node], value: Any) -> str:
    """Fill a parsed template from a value.

    Raises:
        TemplateError: a field that is not there, a function that is not known or does not fit.
    """
    return "".join(_execute(nodes, value, {"$": value}))


def execute_heading(nodes: Sequence[Node], headings: Mapping[str, str]) -> str:
    """The heading of a table with such rows: functions leave the names of its columns as they are."""
    line = []
    for node in nodes:
        if node.kind == "text":
            line.append(node.value)
        else:
            field = next((token.text for token in node.value if token.kind == "path"), "").lstrip(".")
            label = next((token.text for token in node.value if token.kind == "string"), "")
            line.append(_label_heading(label[1:-1]) if field == "Label" else headings.get(field, ""))
    return "".join(line)


def _label_heading(name: str) -> str:
    """`{{.Label "com.docker.swarm.cpu_count"}}` stands under `cpu count`."""
    return re.split(r"[.:/]", name)[-1].replace("-", " ").replace("_", " ")


def _split(text: str) -> Iterator[tuple[bool, str]]:
    """Pairs of (is an action, text), white space trimmed where the actions ask for it."""
    at, trim = 0, False
    for match in _ACTION.finditer(text):
        before = text[at : match.start()]
        before = before.lstrip() if trim else before
        yield False, before.rstrip() if match[1] else before
        inner = match[2].strip()
        if not (inner.startswith("/*") and inner.endswith("*/")):
            yield True, inner
        at, trim = match.end(), bool(match[3])
    rest = text[at:]
    if "{{" in rest:
        raise TemplateError("unclosed action")
    yield False, rest.lstrip() if trim else rest


def _tokenize(text: str) -> list[Token]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match or match.end() == at:
            raise TemplateError(f"unexpected {text[at:].strip()[:20]!r} in {{{{{text}}}}}")
        kind = match.lastgroup or ""
        tokens.append(Token(kind, match[kind]))
        at = match.end()
    return tokens


def _parse_nodes(parts: list[tuple[bool, str]], at: int, depth: int) -> tuple[tuple[Node, ...], int]:
    """Parse up to an `end` or `else` that belongs to somebody else; gives its place."""
    if depth > MAX_DEPTH:
        raise TemplateError("nested too deeply")
    nodes = []
    while at < len(parts):
        is_action, text = parts[at]
        at += 1
        if not is_action:
            if text:
                nodes.append(Node("text", text))
            continue
        word = text.split(None, 1)[0] if text else ""
        if word in ("end", "else"):
            return tuple(nodes), at - 1
        if word in ("if", "with", "range"):
            node, at = _parse_block(word, text[len(word) :], parts, at, depth)
        else:
            node = _parse_statement("print", text)
        nodes.append(node)
    return tuple(nodes), at


def _parse_block(kind: str, expression: str, parts: list[tuple[bool, str]], at: int, depth: int) -> tuple[Node, int]:
    head = _parse_statement(kind, expression)
    body, at = _parse_nodes(parts, at, depth + 1)
    otherwise: tuple[Node, ...] = ()
    if at < len(parts) and parts[at][1].startswith("else"):
        following = parts[at][1][len("else") :].strip()
        word = following.split(None, 1)[0] if following else ""
        if word in ("if", "with"):  # `else if` is an `if` in the `else`; they share the `end`
            inner, at = _parse_block(word, following[len(word) :], parts, at + 1, depth + 1)
            return head._replace(body=body, otherwise=(inner,)), at
        otherwise, at = _parse_nodes(parts, at + 1, depth + 1)
    if at >= len(parts) or parts[at][1] != "end":
        raise TemplateError(f"missing {{{{end}}}} of {{{{{kind}{expression}}}}}")
    return head._replace(body=body, otherwise=otherwise), at + 1


def _parse_statement(kind: str, text: str) -> Node:
    tokens = _tokenize(text)
    if not tokens:
        raise TemplateError(f"missing value in {{{{{kind if kind != 'print' else ''}}}}}")
    names: list[str] = []
    for at, token in enumerate(tokens):
        if token.text in (":=", "=") and token.kind == "mark":
            names = [found.text for found in tokens[:at] if found.text != ","]
            tokens = tokens[at + 1 :]
            if not all(name.startswith("$") and len(name) > 1 for name in names) or not tokens:
                raise TemplateError(f"malformed assignment in {{{{{text}}}}}")
            break
    return Node("set" if names and kind == "print" else kind, tokens, tuple(names))


def _execute(nodes: Sequence[Node], dot: Any, variables: dict[str, Any]) -> Iterator[str]:
    for node in nodes:
        if node.kind == "text":
            yield node.value
            continue
        value = Evaluation(node.value, dot, variables).result()
        if node.kind == "print":
            yield format_value(value)
        elif node.kind == "set":
            variables[node.names[0]] = value
        elif node.kind == "range":
            yield from _execute_range(node, value, dot, variables)
        else:
            inner = {**variables, **dict.fromkeys(node.names, value)}
            if is_true(value):
                yield from _execute(node.body, value if node.kind == "with" else dot, inner)
            else:
                yield from _execute(node.otherwise, dot, inner)


def _execute_range(node: Node, value: Any, dot: Any, variables: dict[str, Any]) -> Iterator[str]:
    pairs: list[tuple[Any, Any]]
    if isinstance(value, Mapping):
        pairs = [(key, value[key]) for key in sorted(value)]
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    elif value is None:
        pairs = []
    else:
        raise TemplateError(f"range cannot go through {format_value(value)[:40]!r}")
    for key, item in pairs:
        # Not a copy: a variable that is set in the body is seen by the next round, as in Go.
        if len(node.names) == 1:
            variables[node.names[0]] = item
        elif node.names:
            variables[node.names[0]], variables[node.names[1]] = key, item
        yield from _execute(node.body, item, variables)
    if not pairs:
        yield from _execute(node.otherwise, dot, variables)


class Evaluation:
    """One expression, evaluated from left to right."""

    def __init__(self, tokens: Sequence[Token], dot: Any, variables: Mapping[str, Any]) -> None:
        self._tokens, self._dot, self._variables = tokens, dot, variables
        self._at = 0

    def result(self) -> Any:
        """The value.

        Raises:
            TemplateError: see `execute`.
        """
        value = self._pipeline()
        if self._at < len(self._tokens):
            raise TemplateError(f"unexpected {self._tokens[self._at].text!r}")
        return value

    def _peek(self) -> str:
        return self._tokens[self._at].text if self._at < len(self._tokens) else ""

    def _pipeline(self) -> Any:
        value = self._command([])
        while self._peek() == "|":
            self._at += 1
            value = self._command([value])
        return value

    def _command(self, piped: list[Any]) -> Any:
        if self._at >= len(self._tokens):
            raise TemplateError("missing value")
        token = self._tokens[self._at]
        if token.kind == "word" and token.text not in ("true", "false", "nil"):
            self._at += 1
            return self._call(token.text, piped)
        value = self._operand()
        more = piped or (self._at < len(self._tokens) and self._peek() not in ("|", ")"))
        if callable(value):  # a row's method, as {{.Label "name"}}
            return self._apply(token.text, value, piped)
        if more:
            raise TemplateError(f"{token.text!r} is not a function")
        return value

    def _call(self, name: str, piped: list[Any]) -> Any:
        function: Callable[..., Any] | None = FUNCTIONS.get(name)
        if function is None:
            raise TemplateError(f"function {name!r} is not known; known are: {', '.join(FUNCTIONS)}")
        return self._apply(name, function, piped)

    def _apply(self, name: str, function: Callable[..., Any], piped: list[Any]) -> Any:
        arguments = []
        while self._at < len(self._tokens) and self._peek() not in ("|", ")"):
            arguments.append(self._operand())
        try:
            return function(*arguments, *piped)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise TemplateError(f"{name}: {error}") from error

    def _operand(self) -> Any:
        token = self._tokens[self._at]
        self._at += 1
        if token.text == "(" and token.kind == "mark":
            value = self._pipeline()
            if self._peek() != ")":
                raise TemplateError("missing )")
            self._at += 1
            following = self._tokens[self._at] if self._at < len(self._tokens) else None
            if following and following.kind == "path" and following.text.startswith(".") and len(following.text) > 1:
                self._at += 1
                return find_field(value, following.text)
            return value
        match token.kind:
            case "string":
                return _unquote(token.text)
            case "number":
                return float(token.text) if "." in token.text else int(token.text)
            case "path":
                return self._find(token.text)
            case "word" if token.text in ("true", "false", "nil"):
                return {"true": True, "false": False}.get(token.text)
            case "word":
                return self._call_alone(token.text)
        raise TemplateError(f"unexpected {token.text!r}")

    def _call_alone(self, name: str) -> Any:
        raise TemplateError(f"unexpected {name!r}: put a function that is an argument in parentheses")

    def _find(self, path: str) -> Any:
        if not path.startswith("$"):
            return find_field(self._dot, path)
        name, _, rest = path.partition(".")
        if name not in self._variables:
            raise TemplateError(f"undefined variable {name!r}")
        return find_field(self._variables[name], rest)


def find_field(value: Any, path: str) -> Any:
    """Follow `.Field.Sub`; a map's missing field is no value, as Docker's templates treat them.

    Raises:
        TemplateError: a field of something that has none, or not one of this object's.
    """
    parent = ""
    for name in filter(None, path.split(".")):
        if isinstance(value, Mapping) and name not in value and parent in MAPS:
            value = None
        elif not isinstance(value, Mapping) or name not in value:
            raise TemplateError(f"no field {name!r} in {path!r}")
        else:
            value = value[name]
            if value is None and name in MAPS:
                value = NilMap()
        parent = name
    return value


def _unquote(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text[1:-1])
