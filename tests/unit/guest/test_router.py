"""From a path to its handler, and from an error to its answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from atoll_agent.api.errors import AgentError, Kind, conflict
from atoll_agent.api.version import API_VERSION, MIN_API_VERSION
from atoll_agent.server.container_routes import format_moment, framed_type, parse_log_query, parse_moment, size_of
from atoll_agent.server.http import Body, Connection, Request
from atoll_agent.server.router import Router


class Collector:
    """A socket that keeps what is sent to it."""

    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data


def ask(router: Router, method: str, path: str, body: Body | None = None) -> tuple[int, Any, Request, Connection]:
    """Status and content of the answer."""
    wire = Collector()
    connection = Connection(wire, None)  # type: ignore[arg-type]
    request = Request(method, path, {}, {}, body or Body(None, {}))  # type: ignore[arg-type]
    try:
        router.answer(request, connection)
    except AgentError as error:
        return error.status, {"message": error.message}, request, connection
    head, _, content = wire.sent.partition(b"\r\n\r\n")
    assert b"\r\nServer: Test" in head
    return int(head.split()[1]), json.loads(content) if content else None, request, connection


def naming(name: str) -> Any:
    def handler(request: Request, connection: Connection) -> None:
        connection.send_json([name, request.parameters])

    return handler


ROUTER = Router(
    [
        (method, path, naming(f"{method} {path}"))
        for method, path in [
            ("GET", "/_ping"),
            ("GET", "/containers/json"),
            ("POST", "/containers/create"),
            ("GET", "/containers/{id}/json"),
            ("DELETE", "/containers/{id}"),
            ("GET", "/images/json"),
            ("GET", "/images/{name*}/json"),
            ("POST", "/images/{name*}/tag"),
            ("DELETE", "/images/{name*}"),
        ]
    ],
    ("Server: Test",),
)


@pytest.mark.parametrize(
    ("method", "path", "route", "parameters"),
    [
        ("GET", "/_ping", "/_ping", {}),
        ("GET", "/containers/json", "/containers/json", {}),
        ("GET", "/containers/json/", "/containers/json", {}),
        ("GET", "/containers/a/json", "/containers/{id}/json", {"id": "a"}),
        ("GET", "/containers/json/json", "/containers/{id}/json", {"id": "json"}),
        ("DELETE", "/containers/json", "/containers/{id}", {"id": "json"}),
        ("GET", "/images/json", "/images/json", {}),
        ("GET", "/images/a/json", "/images/{name*}/json", {"name": "a"}),
        ("GET", "/images/h:5000/b/c:1/json", "/images/{name*}/json", {"name": "h:5000/b/c:1"}),
        ("GET", "/images/json/json", "/images/{name*}/json", {"name": "json"}),
        ("POST", "/images/a/tag/tag", "/images/{name*}/tag", {"name": "a/tag"}),
        ("DELETE", "/images/a/json", "/images/{name*}", {"name": "a/json"}),
    ],
)
@pytest.mark.parametrize("version", ["", "/v1.24", "/v1.44", f"/v{API_VERSION}"])
def test_route(method: str, path: str, route: str, parameters: dict[str, str], version: str) -> None:
    status, answer, request, _ = ask(ROUTER, method, version + path)
    assert (status, answer) == (200, [f"{method} {route}", parameters])
    assert request.version == version[2:]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/v1.44"),
        ("GET", "/unknown"),
        ("POST", "/containers/json"),
        ("HEAD", "/containers/json"),
        ("get", "/containers/json"),
        ("GET", "/containers/a/b/json"),
        ("GET", "/containers/a"),
        ("DELETE", "/containers/a/b"),
        ("GET", "/images"),
        ("GET", "/v1.44/v1.44/containers/json"),
        ("GET", "/v1/containers/json"),
        ("GET", "/vx.y/containers/json"),
    ],
)
def test_no_such_page(method: str, path: str) -> None:
    status, answer, _, _ = ask(ROUTER, method, path)
    assert status == 404
    assert method == "HEAD" or answer == {"message": "page not found"}


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.23", f"client version 1.23 is too old. Minimum supported API version is {MIN_API_VERSION}"),
        ("0.1", "too old"),
        ("1.52", f"client version 1.52 is too new. Maximum supported API version is {API_VERSION}"),
        ("2.0", "too new"),
        ("1.9999999999", "invalid API version"),
    ],
)
def test_versions_out_of_range_are_refused(version: str, words: str) -> None:
    status, answer, _, _ = ask(ROUTER, "GET", f"/v{version}/containers/json")
    assert status == 400
    assert words in answer["message"]


def failing(error: BaseException, *, after: bool = False) -> Router:
    def handler(request: Request, connection: Connection) -> None:
        if after:
            connection.start_stream()
        raise error

    return Router([("GET", "/x", handler), ("HEAD", "/x", handler)], ("Server: Test",))


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (conflict("busy"), 409, "busy"),
        (AgentError(Kind.NOT_IMPLEMENTED, "later"), 501, "later"),
        (OSError(28, "No space left on device", "/data/x"), 500, "/data/x: No space left on device"),
        (KeyError("secret"), 500, "internal error; the agent's log has more"),
    ],
)
def test_an_error_becomes_its_answer(error: Exception, status: int, message: str) -> None:
    assert ask(failing(error), "GET", "/x")[:2] == (status, {"message": message})
    assert ask(failing(error), "HEAD", "/x")[:2] == (status, None)


def test_what_has_not_changed_is_told_without_a_body() -> None:
    assert ask(failing(AgentError(Kind.NOT_MODIFIED, "already started")), "GET", "/x")[:2] == (304, None)


def test_an_error_in_the_middle_of_an_answer_ends_the_connection() -> None:
    wire = Collector()
    connection = Connection(wire, None)  # type: ignore[arg-type]
    failing(conflict("late"), after=True).answer(Request("GET", "/x", {}, {}, Body(None, {})), connection)  # type: ignore[arg-type]
    assert not connection.keep
    assert b"late" not in wire.sent
    for late in (RuntimeError("late"), OSError(5, "late")):
        with pytest.raises(OSError):
            failing(late, after=True).answer(Request("GET", "/x", {}, {}, Body(None, {})), Connection(wire, None))  # type: ignore[arg-type]


def test_a_refused_request_whose_body_was_not_read_ends_the_connection() -> None:
    unread = Body(None, {"content-length": "5"})  # type: ignore[arg-type]
    *_, connection = ask(failing(conflict("busy")), "GET", "/x", unread)
    assert not connection.keep
    *_, connection = ask(failing(conflict("busy")), "GET", "/x")
    assert connection.keep


# -- values of queries -----------------------------------------------------------------------


def with_query(**query: str) -> Request:
    return Request("GET", "/", query, {}, Body(None, {}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "moment", "formatted"),
    [
        ("", None, ""),
        ("0", None, ""),
        ("1", 10**9, "1970-01-01T00:00:01.000000000Z"),
        ("1700000000.5", 1_700_000_000_500_000_000, "2023-11-14T22:13:20.500000000Z"),
        ("1.000000001", 10**9 + 1, "1970-01-01T00:00:01.000000001Z"),
        ("1.0000000019", 10**9 + 1, "1970-01-01T00:00:01.000000001Z"),
    ],
)
def test_moment(text: str, moment: int | None, formatted: str) -> None:
    assert (parse_moment(text), format_moment(text)) == (moment, formatted)


@pytest.mark.parametrize("text", ["x", "1.x", "1.2.3", "2023-11-14T22:13:20Z", "1" * 30, "1.-5", "1_0", "٣"])
def test_not_a_moment(text: str) -> None:
    with pytest.raises(AgentError, match="invalid time"):
        format_moment(text)


@pytest.mark.parametrize(("tail", "lines"), [("all", None), ("", None), ("5", 5), ("0", 0), ("-1", None)])
def test_tail(tail: str, lines: int | None) -> None:
    query = parse_log_query(with_query(stdout="1", tail=tail, since="1", follow="true"))
    assert (query.tail, query.since, query.stderr, query.follow) == (
        lines,
        "1970-01-01T00:00:01.000000000Z",
        False,
        True,
    )


@pytest.mark.parametrize("query", [{}, {"stdout": "0"}, {"stdout": "1", "tail": "x"}, {"stdout": "1", "until": "x"}])
def test_malformed_log_queries(query: dict[str, str]) -> None:
    with pytest.raises(AgentError) as caught:
        parse_log_query(with_query(**query))
    assert caught.value.status == 400


def test_size() -> None:
    assert size_of(with_query(h="24", w="80")) == (24, 80)
    for query in ({}, {"h": "24"}, {"h": "-1", "w": "1"}, {"h": "65536", "w": "1"}, {"h": "a", "w": "1"}):
        with pytest.raises(AgentError):
            size_of(with_query(**query))


@pytest.mark.parametrize(("version", "framed"), [("", True), ("1.42", True), ("1.41", False), ("1.9", False)])
def test_framed_streams_have_a_type_of_their_own_since_1_42(version: str, framed: bool) -> None:
    request = with_query()
    request.version = version
    assert ("multiplexed" in framed_type(request)) is framed
