"""Requests as bytes on a socket: what is read, what is refused, and that nothing else can happen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll_agent.api.errors import AgentError
from atoll_agent.server.http import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_JSON_BODY,
    MAX_LINE,
    Reader,
    Request,
    read_request,
)

END = b"\r\n\r\n"


class Wire:
    """A socket that delivers what the test wants in pieces of a chosen size, then ends."""

    def __init__(self, data: bytes, piece: int = 1 << 20) -> None:
        self._data, self._piece = data, piece

    def recv(self, size: int) -> bytes:
        size = min(size, self._piece)
        data, self._data = self._data[:size], self._data[size:]
        return data


def parse(data: bytes, piece: int = 1 << 20) -> Request:
    request = read_request(Reader(Wire(data, piece)))  # type: ignore[arg-type]
    assert request is not None
    return request


def refused(data: bytes) -> AgentError:
    """The error a request ends with, in its head or in its body."""
    with pytest.raises(AgentError) as caught:
        parse(data).body.read()
    return caught.value


# -- the head --------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_a_request_however_it_is_cut(piece: int) -> None:
    request = parse(b"POST /v1.44/a%20b/c?x=1&x=2&y=%2F+z&e= HTTP/1.1\r\nHost: h\r\nX-A:  v \r\n\r\n", piece)
    assert (request.method, request.path) == ("POST", "/v1.44/a b/c")
    assert request.query == {"x": "1", "y": "/ z", "e": ""}
    assert request.headers == {"host": "h", "x-a": "v"}
    assert request.body.finished


def test_an_absolute_target_loses_its_host() -> None:
    assert parse(b"GET http://docker/info?a=b HTTP/1.1" + END).path == "/info"


def test_one_empty_line_before_a_request_is_passed_over() -> None:
    assert parse(b"\r\nGET / HTTP/1.1" + END).method == "GET"


@pytest.mark.parametrize("data", [b"", b"GET / HT", b"\r\n"])
def test_a_client_that_leaves_before_its_request_line_asked_nothing(data: bytes) -> None:
    assert read_request(Reader(Wire(data))) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET / HTTP/2.0",
        b"GET / http/1.1",
        b"GET x HTTP/1.1",
        b"GET * HTTP/1.1",
        b" / HTTP/1.1",
        b"G\x00T / HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET /\r HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_malformed_request_lines(line: bytes) -> None:
    assert refused(line + END).status == 400


@pytest.mark.parametrize(
    "header",
    [
        b"no colon",
        b": no name",
        b"Name : space before the colon",
        b" Folded: line",
        b"N\x00: v",
        b"N\xe9: v",
        b"X: a\rContent-Length: 5",
        b"X: a\x00b",
    ],
)
def test_malformed_headers(header: bytes) -> None:
    assert refused(b"GET / HTTP/1.1\r\nHost: h\r\n" + header + END).status == 400


def test_a_head_that_ends_early() -> None:
    assert refused(b"GET / HTTP/1.1\r\nHost: h\r\n").message == "request ended early"


def test_too_many_words_in_a_query_are_refused() -> None:
    assert refused(b"GET /?" + b"a=b&" * 1000 + b" HTTP/1.1" + END).status == 400


@pytest.mark.parametrize(
    ("headers", "fits"),
    [
        (b"X: 1\r\n" * MAX_HEADERS, True),
        (b"X: 1\r\n" * (MAX_HEADERS + 1), False),
        (b"X: " + b"a" * (MAX_LINE - 3) + b"\n", True),
        (b"X: " + b"a" * (MAX_LINE - 2) + b"\n", False),
        (b"X: " + b"a" * (MAX_HEADER_BYTES // 4 - 3) + b"\r\n", False),
        ((b"X: " + b"a" * (MAX_LINE // 2 - 3) + b"\n") * (MAX_HEADER_BYTES // (MAX_LINE // 2)), True),
        ((b"X: " + b"a" * (MAX_LINE // 2 - 3) + b"\n") * (MAX_HEADER_BYTES // (MAX_LINE // 2)) + b"X: 1\n", False),
    ],
)
def test_bounds_of_a_head(headers: bytes, fits: bool) -> None:
    data = b"GET / HTTP/1.1\r\n" + headers + b"\r\n"
    if fits:
        assert parse(data).headers["x"]
    else:
        assert refused(data).status == 431


def test_a_line_without_end_is_refused_before_it_ends() -> None:
    assert refused(b"GET /" + b"a" * (1 << 20)).status == 431


# -- bodies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Length: 11\r\n\r\nhello world",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;name=value\r\n world\r\n0\r\n\r\n",
        b"Transfer-Encoding: Chunked\r\n\r\n00B\r\nhello world\r\n0\r\nTrailer: x\r\n\r\n",
    ],
)
def test_a_body_however_it_is_sent_and_cut(raw: bytes, piece: int) -> None:
    reader = Reader(Wire(b"POST / HTTP/1.1\r\n" + raw + b"GET /next HTTP/1.1" + END, piece))  # type: ignore[arg-type]
    request = read_request(reader)
    assert request is not None
    assert not request.body.finished
    assert request.body.read(3) == b"hel"
    assert request.body.read() == b"lo world"
    assert request.body.read(3) == b""
    assert request.body.finished
    following = read_request(reader)
    assert following is not None
    assert following.path == "/next"


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(1, 60), st.integers(1, 60))
def test_chunks_and_reads_of_any_size(chunks: list[bytes], piece: int, size: int) -> None:
    raw = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    body = parse(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + raw, piece).body
    parts = []
    while part := body.read(size):
        parts.append(part)
    assert b"".join(parts) == b"".join(chunks)
    assert all(len(part) == size for part in parts[:-1])


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", id="length twice"),
        pytest.param(b"Content-Length: 5, 5\r\n\r\nhello", id="length as a list"),
        pytest.param(b"Content-Length: +5\r\n\r\nhello", id="length with a sign"),
        pytest.param(b"Content-Length: -5\r\n\r\nhello", id="negative length"),
        pytest.param(b"Content-Length: 0x5\r\n\r\nhello", id="hexadecimal length"),
        pytest.param(b"Content-Length: 5_0\r\n\r\nhello", id="length with an underscore"),
        pytest.param(b"Content-Length: \xb2\r\n\r\nhello", id="a digit that is none"),
        pytest.param(b"Content-Length: \xa05\r\n\r\nhello", id="length behind a space that is none"),
        pytest.param(b"Content-Length:\r\n\r\n", id="empty length"),
        pytest.param(b"Content-Length: 9999999999999999999\r\n\r\n", id="length beyond 64 bits"),
        pytest.param(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="length and chunks"),
        pytest.param(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", id="chunks and length"),
        pytest.param(b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="two codings"),
        pytest.param(b"Transfer-Encoding: identity\r\n\r\n", id="identity"),
        pytest.param(b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", id="coding behind a space that is none"),
        pytest.param(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", id="coding twice"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX\r\n0\r\n\r\n", id="chunk longer than it says"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", id="negative chunk"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", id="chunk with 0x"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n", id="chunk without size"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 16 + b"\r\nhello\r\n", id="endless chunk"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", id="chunk that ends early"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", id="no last chunk"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", id="no end of trailers"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: 1\r\n" * 500 + b"\r\n", id="trailers"),
        pytest.param(b"Content-Length: 6\r\n\r\nhello", id="body that ends early"),
        pytest.param(b"Host: a\r\nHost: b\r\n\r\n", id="two hosts"),
    ],
)
def test_what_two_servers_could_read_differently_is_refused(raw: bytes) -> None:
    assert refused(b"POST / HTTP/1.1\r\n" + raw).status == 400


def test_chunks_are_not_part_of_http_1_0() -> None:
    head = b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked"
    assert refused(head + b"\r\n\r\n0\r\n\r\n").status == 400


def test_a_chunk_line_without_end_is_refused() -> None:
    raw = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"x" * 100_000
    assert refused(raw).status in (400, 431)


# -- values ----------------------------------------------------------------------------------


def post(body: bytes) -> Request:
    return parse(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


@pytest.mark.parametrize(("body", "value"), [(b"", {}), (b" \n", {}), (b"null", {}), (b'{"a": [1]}', {"a": [1]})])
def test_json(body: bytes, value: object) -> None:
    assert post(body).json() == value


@pytest.mark.parametrize("body", [b"{", b"[]", b"5", b'"x"', b"\xff\xfe", b"[" * 200_000, b"{} {}", b"1" * 5000])
def test_not_a_json_object(body: bytes) -> None:
    with pytest.raises(AgentError, match="invalid JSON") as caught:
        post(body).json()
    assert caught.value.status == 400


def test_a_json_body_has_a_bound() -> None:
    assert post(b'"' + b"x" * (MAX_JSON_BODY - 2) + b'"').body.read_all(MAX_JSON_BODY)
    with pytest.raises(AgentError) as caught:
        post(b" " * (MAX_JSON_BODY + 1)).json()
    assert caught.value.status == 413


def with_query(**query: str) -> Request:
    request = parse(b"GET / HTTP/1.1" + END)
    request.query = query
    return request


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("true", True), ("yes", True), ("0", False), ("", False), ("False", False), ("no", False),
     ("NONE", False)],
)  # fmt: skip
def test_flag(text: str, value: bool) -> None:
    assert with_query(x=text).flag("x") is value
    assert with_query().flag("x", not value) is not value


@pytest.mark.parametrize(("text", "value"), [("", None), ("5", 5), ("-1", -1)])
def test_integer(text: str, value: int | None) -> None:
    assert with_query(x=text).integer("x") == value


@pytest.mark.parametrize("text", ["x", "1.5", "0x1", "1" * 5000])
def test_not_an_integer(text: str) -> None:
    with pytest.raises(AgentError, match="invalid value for x"):
        with_query(x=text).integer("x")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ("{}", {}),
        ('{"label": ["a", "b=c"]}', {"label": ["a", "b=c"]}),
        ('{"label": {"a": true, "b": true}}', {"label": ["a", "b"]}),
        ('{"dangling": [true]}', {"dangling": ["True"]}),
    ],
)
def test_filters(text: str, value: object) -> None:
    assert with_query(filters=text).filters() == value


@pytest.mark.parametrize("text", ["{", "[]", "5", "null", '{"a": "text"}', '{"a": 5}', '{"a": null}', "[" * 100_000])
def test_malformed_filters(text: str) -> None:
    with pytest.raises(AgentError, match="invalid filter"):
        with_query(filters=text).filters()


# -- anything --------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [b"GET ", b"POST ", b"/", b"?a=b", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\n", b"\r", b"\0", b"Host: h",
     b"Content-Length: ", b"3", b"Transfer-Encoding: chunked", b"5\r\nhello", b"0\r\n\r\n", b"abc", b": ", b"\xff"]
)  # fmt: skip


@given(st.lists(PIECES | st.binary(max_size=5), max_size=25).map(b"".join), st.integers(1, 30))
def test_any_bytes_are_requests_or_a_declared_error(data: bytes, piece: int) -> None:
    reader = Reader(Wire(data, piece))  # type: ignore[arg-type]
    try:
        while request := read_request(reader):
            request.body.read_all(1 << 20)
    except AgentError as error:
        assert error.status in (400, 413, 431)
