"""Many streams over one port: both ends of the state machine joined by a wire that cuts bytes as it likes."""

from __future__ import annotations

import contextlib
from collections import defaultdict

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from atoll_agent.api.mux import (
    HEADER,
    HELLO_SIZE,
    MAGIC,
    MAX_PAYLOAD,
    MAX_SERVICE,
    MAX_STREAMS,
    WINDOW,
    Closed,
    Data,
    Eof,
    Event,
    Frame,
    Multiplexer,
    MuxError,
    Opened,
    Ready,
    Writable,
)
from atoll_agent.api.version import WIRE_VERSION

NONCE = bytes(range(16))
HELLO = MAGIC + bytes([WIRE_VERSION]) + NONCE


def frame(kind: int, stream: int, payload: bytes = b"") -> bytes:
    return HEADER.pack(kind, stream, len(payload)) + payload


def joined() -> tuple[Multiplexer, Multiplexer]:
    """A host and a guest whose session is up."""
    host, guest = Multiplexer(host=True), Multiplexer(host=False)
    host.start(NONCE)
    assert guest.feed(host.outgoing()) == [Ready()]
    assert host.feed(guest.outgoing()) == [Ready()]
    return host, guest


def opened(service: str = "api") -> tuple[Multiplexer, Multiplexer, int]:
    """The same with one stream."""
    host, guest = joined()
    number = host.open(service)
    assert guest.feed(host.outgoing()) == [Opened(number, service)]
    return host, guest, number


def data_of(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Data))


# -- the handshake ---------------------------------------------------------------------------


@given(st.binary(max_size=100), st.lists(st.integers(1, 40), max_size=20))
def test_a_session_begins_behind_any_leftover_and_however_it_is_cut(leftover: bytes, cuts: list[int]) -> None:
    assume((leftover + HELLO).index(MAGIC) == len(leftover))
    guest = Multiplexer(host=False)
    wire, events = leftover + HELLO, []
    for size in cuts:
        events += guest.feed(wire[:size])
        wire = wire[size:]
    events += guest.feed(wire)
    assert events == [Ready()]
    assert guest.outgoing() == HELLO


def test_an_answer_to_an_earlier_hello_does_not_begin_a_session() -> None:
    host = Multiplexer(host=True)
    host.start(NONCE)
    assert host.feed(MAGIC + bytes([WIRE_VERSION]) + bytes(16)) == []
    assert not host.ready
    assert host.feed(HELLO) == [Ready()]


def test_another_wire_version_is_refused() -> None:
    with pytest.raises(MuxError, match=f"wire version {WIRE_VERSION + 1}"):
        Multiplexer(host=False).feed(MAGIC + bytes([WIRE_VERSION + 1]) + NONCE)


def test_a_new_hello_ends_all_streams_of_the_old_session() -> None:
    _, guest, number = opened()
    guest.send(number, b"of the old session")
    other = Multiplexer(host=True)
    other.start(bytes(16))
    assert guest.feed(other.outgoing()) == [Ready()]
    assert guest.room(number) == 0
    assert other.feed(guest.outgoing()) == [Ready()], "nothing of the old session may come first"


def test_what_follows_a_hello_at_once_belongs_to_the_new_session() -> None:
    guest = Multiplexer(host=False)
    assert guest.feed(HELLO + frame(Frame.OPEN, 1, b"ssh")) == [Ready(), Opened(1, "ssh")]


def test_a_port_that_went_away_forgets_everything() -> None:
    host, _, number = opened()
    host.send(number, b"x")
    host.reset()
    assert (host.ready, host.pending, host.room(number)) == (False, 0, 0)
    with pytest.raises(MuxError, match="no session"):
        host.open("api")


@pytest.mark.parametrize(("host", "nonce"), [(False, NONCE), (True, b"short")])
def test_only_a_host_with_a_whole_nonce_starts(host: bool, nonce: bytes) -> None:
    with pytest.raises(ValueError, match="16-byte nonce"):
        Multiplexer(host=host).start(nonce)


# -- streams ---------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.binary(max_size=3000), st.integers(1, 5000)), max_size=30)
)
def test_interleaved_streams_arrive_whole_and_in_order(steps: list[tuple[bool, int, bytes, int]]) -> None:
    host, guest = joined()
    numbers = [host.open(f"service{n}") for n in range(4)]
    guest.feed(host.outgoing())
    wires = {True: b"", False: b""}
    sent: dict[tuple[bool, int], bytes] = defaultdict(bytes)
    got: dict[tuple[bool, int], bytes] = defaultdict(bytes)

    def deliver(from_host: bool, size: int) -> None:
        source, target = (host, guest) if from_host else (guest, host)
        wires[from_host] += source.outgoing()
        for event in target.feed(wires[from_host][:size]):
            if isinstance(event, Data):
                got[from_host, event.stream] += event.data
                target.consumed(event.stream, len(event.data))
        wires[from_host] = wires[from_host][size:]

    for from_host, which, data, size in steps:
        number = numbers[which]
        taken = (host if from_host else guest).send(number, data)
        sent[from_host, number] += data[:taken]
        deliver(from_host, size)
    for _ in range(2):
        deliver(True, 1 << 30)
        deliver(False, 1 << 30)
    assert {k: v for k, v in sent.items() if v} == {k: v for k, v in got.items() if v}
    assert [host.room(n) for n in numbers] == [WINDOW] * 4
    assert [guest.room(n) for n in numbers] == [WINDOW] * 4


def test_no_more_is_sent_than_the_reader_has_room_for() -> None:
    host, guest, number = opened()
    assert host.send(number, bytes(WINDOW + 1000)) == WINDOW
    assert host.send(number, b"more") == 0
    wire = host.outgoing()
    assert len(wire) == WINDOW + HEADER.size * (WINDOW // MAX_PAYLOAD)
    assert len(data_of(guest.feed(wire))) == WINDOW
    guest.consumed(number, 1000)
    assert host.feed(guest.outgoing()) == [Writable(number)]
    assert host.room(number) == 1000


def test_a_slow_stream_does_not_hold_up_its_neighbour() -> None:
    host, guest, slow = opened()
    quick = host.open("ssh")
    host.send(slow, bytes(WINDOW))
    assert host.send(quick, b"still goes") == 10
    assert data_of([e for e in guest.feed(host.outgoing()) if getattr(e, "stream", 0) == quick]) == b"still goes"


@pytest.mark.parametrize("from_host", [True, False])
def test_half_close_leaves_the_other_direction_open(from_host: bool) -> None:
    host, guest, number = opened()
    ending, other = (host, guest) if from_host else (guest, host)
    ending.send(number, b"last words")
    ending.send_eof(number)
    ending.send_eof(number)
    assert ending.send(number, b"too late") == 0
    assert other.feed(ending.outgoing()) == [Data(number, b"last words"), Eof(number)]
    assert other.send(number, b"answer") == 6
    assert ending.feed(other.outgoing()) == [Data(number, b"answer")]


def test_what_was_on_its_way_to_a_closed_stream_is_dropped() -> None:
    host, guest, number = opened()
    guest.send(number, b"on its way")
    host.close(number)
    host.close(number)
    assert host.feed(guest.outgoing()) == []
    assert guest.feed(host.outgoing()) == [Closed(number)]
    assert guest.send(number, b"x") == 0


def test_one_stream_too_many_is_closed_and_the_session_goes_on() -> None:
    _, guest = joined()
    guest.feed(b"".join(frame(Frame.OPEN, n, b"api") for n in range(1, MAX_STREAMS + 1)))
    guest.outgoing()
    assert guest.feed(frame(Frame.OPEN, MAX_STREAMS + 1, b"api")) == []
    assert guest.outgoing() == frame(Frame.CLOSE, MAX_STREAMS + 1)
    assert guest.feed(frame(Frame.CLOSE, 1)) == [Closed(1)]


def test_a_service_that_has_no_ascii_name_takes_no_stream() -> None:
    host, guest = joined()
    for service in ("café", "x" * (MAX_SERVICE + 1)):
        with pytest.raises(ValueError, match="service"):
            host.open(service)
    number = host.open("api")
    assert guest.feed(host.outgoing()) == [Opened(number, "api")]


# -- peers that break the rules --------------------------------------------------------------


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(frame(Frame.OPEN, 1, b"again"), id="a stream opened twice"),
        pytest.param(frame(Frame.OPEN, 2, b"x" * (MAX_SERVICE + 1)), id="a service name without end"),
        pytest.param(HEADER.pack(Frame.DATA, 1, MAX_PAYLOAD + 1), id="an oversize frame, before its bytes came"),
        pytest.param(HEADER.pack(Frame.DATA, 9, 0xFFFFFFFF), id="an oversize frame for a stream that is gone"),
        pytest.param(b"\x02\x01\x00\x00" + bytes(8), id="reserved bytes"),
        pytest.param(b"\x00" * HEADER.size, id="type 0"),
        pytest.param(frame(9, 1), id="unknown type"),
        pytest.param(frame(9, 77), id="unknown type on a stream that is gone"),
        pytest.param(frame(Frame.EOF, 1) + frame(Frame.DATA, 1, b"x"), id="data after the end"),
        pytest.param(frame(Frame.DATA, 1, bytes(MAX_PAYLOAD)) * 9, id="more than the credit"),
        pytest.param(frame(Frame.CREDIT, 1, b"\x00\x00\x00\x01"), id="credit for what was never sent"),
        pytest.param(frame(Frame.CREDIT, 1, b"\x01"), id="credit of another size"),
    ],
)
def test_a_guest_refuses(wire: bytes) -> None:
    _, guest, number = opened()
    assert number == 1
    with pytest.raises(MuxError):
        guest.feed(wire)


def test_a_guest_may_not_open_streams() -> None:
    host, _ = joined()
    with pytest.raises(MuxError):
        host.feed(frame(Frame.OPEN, 5, b"api"))


@given(st.booleans(), st.lists(st.binary(max_size=200), max_size=10))
def test_garbage_is_an_error_or_nothing_and_is_not_kept(host: bool, chunks: list[bytes]) -> None:
    ours, theirs, _ = opened()
    end = ours if host else theirs
    with contextlib.suppress(MuxError):
        for chunk in chunks:
            end.feed(chunk)
    if MAGIC not in b"".join(chunks):
        fresh = Multiplexer(host=False)
        assert [event for chunk in chunks for event in fresh.feed(chunk)] == []
        assert len(fresh._incoming) < HELLO_SIZE
