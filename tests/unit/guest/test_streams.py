"""A process's streams and the clients at them: pipes and sockets for real, the process played by the test."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import socket
import sys
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("the supervisor's loop is epoll", allow_module_level=True)

from atoll_agent.runtime.log_file import LogFile
from atoll_agent.runtime.loop import Loop
from atoll_agent.runtime.streams import QUEUE_LIMIT, Client, Streams

DEADLINE_S = 10


class Stage:
    """A loop, a process's streams, and clients that come and go."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.idle: list[bool] = []
        self.streams = Streams(self.loop, lambda: self.idle.append(True))
        self.stdin = self.stdout = self.stderr = -1
        self.sockets: list[socket.socket] = []

    def run_until(self, condition: Callable[[], object]) -> None:
        """Turn the loop until something is true."""
        end = time.monotonic() + DEADLINE_S

        def look() -> None:
            assert time.monotonic() < end, "it did not become true"
            if condition():
                self.loop.running = False
            else:
                self.loop.call_later(0.002, look)

        self.loop.running = True
        self.loop.call_later(0, look)
        self.loop.run()

    def start(self, *, stdin: bool = True, once: bool = False, log: LogFile | None = None) -> None:
        """The process runs: `stdin` is where it reads, `stdout` and `stderr` where it writes."""
        out, self.stdout = os.pipe()
        err, self.stderr = os.pipe()
        self.stdin, feed = os.pipe() if stdin else (-1, -1)
        self.streams.connect({out: 1, err: 2}, feed, stdin_once=once, log=log, terminal=False)

    def start_terminal(self) -> None:
        """The same with a terminal in raw mode, whose other side is `stdin` and `stdout`."""
        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        self.stdin = self.stdout = theirs
        os.set_blocking(theirs, False)
        self.streams.connect({ours: 1}, ours, stdin_once=False, log=None, terminal=True)

    def attach(
        self, *, stdin: bool = False, out: bool = True, framed: bool = False, keys: bytes = b"", head: bytes = b""
    ) -> socket.socket:
        """A client's end."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.sockets.append(ours)
        self.streams.attach(theirs, stdin=stdin, stdout=out, stderr=out, framed=framed, keys=keys, head=head)
        return ours

    def end(self) -> None:
        """The process is gone."""
        for descriptor in {self.stdin, self.stdout, self.stderr} - {-1}:
            os.close(descriptor)
        self.stdin = self.stdout = self.stderr = -1
        self.streams.finish()

    def received(self, sock: socket.socket, size: int) -> bytes:
        """So many bytes that a client gets."""
        parts: list[bytes] = []
        self.run_until(lambda: self._take(lambda: sock.recv(65536), parts) >= size)
        return b"".join(parts)

    def read_stdin(self, size: int) -> bytes:
        """So many bytes that the process gets."""
        os.set_blocking(self.stdin, False)
        parts: list[bytes] = []
        self.run_until(lambda: self._take(lambda: os.read(self.stdin, 65536), parts) >= size)
        return b"".join(parts)

    @staticmethod
    def _take(read: Callable[[], bytes], parts: list[bytes]) -> int:
        with contextlib.suppress(BlockingIOError):
            while data := read():
                parts.append(data)
        return sum(len(part) for part in parts)

    def ended(self, sock: socket.socket) -> bool:
        """Whether a client was told the end."""
        try:
            return sock.recv(1) == b""
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Give everything back."""
        self.streams.close()
        self.end()
        for sock in self.sockets:
            sock.close()
        self.loop.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    before = set(Path("/proc/self/fd").iterdir())
    made = Stage()
    yield made
    made.close()
    assert set(Path("/proc/self/fd").iterdir()) == before, "a descriptor was left open"


def test_every_client_gets_all_output_and_then_the_end(stage: Stage) -> None:
    raw, framed = stage.attach(), stage.attach(framed=True)
    stage.start()
    os.write(stage.stdout, b"out")
    assert stage.received(raw, 3) == b"out"
    os.write(stage.stderr, b"error")
    assert stage.received(framed, 24) == b"\1\0\0\0\0\0\0\3out\2\0\0\0\0\0\0\5error"
    os.write(stage.stdout, b"written just before the end")
    stage.end()
    stage.run_until(lambda: stage.streams.idle)
    assert raw.recv(100) == b"errorwritten just before the end"
    assert stage.ended(raw)


def test_a_client_gets_only_the_streams_it_asked_for(stage: Stage) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stage.sockets.append(ours)
    stage.streams.attach(theirs, stdin=False, stdout=False, stderr=True, framed=False)
    stage.start()
    os.write(stage.stdout, b"out")
    os.write(stage.stderr, b"err")
    assert stage.received(ours, 3) == b"err"


def test_output_is_logged_with_and_without_clients(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    stage.start(log=LogFile(str(path)))
    os.write(stage.stdout, b"line\nrest")
    stage.end()
    assert [json.loads(line)["log"] for line in path.read_text().splitlines()] == ["line\n", "rest"]


def test_nothing_is_lost_by_a_client_that_reads_late(stage: Stage) -> None:
    """Its queue fills, then the process has to wait; a log and other clients would too."""
    slow = stage.attach()
    stage.start()
    os.set_blocking(stage.stdout, False)
    sent = bytearray()

    def write_until_full() -> bool:
        block = b"%08d" % (len(sent) // 8) * 512
        try:
            sent.extend(block[: os.write(stage.stdout, block)])
        except BlockingIOError:
            return len(sent) > QUEUE_LIMIT
        return False

    stage.run_until(write_until_full)
    assert len(sent) < QUEUE_LIMIT * 3
    assert stage.received(slow, len(sent)) == sent
    os.write(stage.stdout, b"goes on")
    assert stage.received(slow, 7) == b"goes on"


def test_a_client_that_leaves_does_not_hold_up_the_process(stage: Stage) -> None:
    slow, quick = stage.attach(out=True), stage.attach(out=True)
    stage.start()
    os.set_blocking(stage.stdout, False)
    parts: list[bytes] = []
    written = [0]

    def write_until_full() -> bool:
        stage._take(lambda: quick.recv(65536), parts)
        try:
            written[0] += os.write(stage.stdout, bytes(65536))
        except BlockingIOError:
            return written[0] > QUEUE_LIMIT
        return False

    stage.run_until(write_until_full)
    slow.close()
    stage.run_until(lambda: stage._take(lambda: quick.recv(65536), parts) == written[0])


def test_input_waits_for_the_process_and_keeps_its_order(stage: Stage) -> None:
    client = stage.attach(stdin=True, head=b"sent with the request, ")
    client.send(b"sent before the start, ")
    stage.start()
    client.send(b"sent after it")
    wanted = b"sent with the request, sent before the start, sent after it"
    assert stage.read_stdin(len(wanted)) == wanted


def test_much_input_goes_through_a_narrow_pipe(stage: Stage) -> None:
    client = stage.attach(stdin=True)
    stage.start()
    data, sent = bytes(range(256)) * 4096, [0]
    got: list[bytes] = []

    def step() -> bool:
        with contextlib.suppress(BlockingIOError):
            sent[0] += client.send(data[sent[0] : sent[0] + 70_000])
        return stage._take(lambda: os.read(stage.stdin, 5000), got) == len(data)

    os.set_blocking(stage.stdin, False)
    stage.run_until(step)
    assert b"".join(got) == data


@pytest.mark.parametrize("once", [True, False])
def test_the_end_of_a_clients_input(stage: Stage, once: bool) -> None:
    """With stdin_once it is the process's too, and its output still reaches the client; otherwise another may come."""
    client = stage.attach(stdin=True)
    stage.start(once=once)
    client.send(b"last")
    client.shutdown(socket.SHUT_WR)
    assert stage.read_stdin(4) == b"last"
    if once:
        stage.run_until(lambda: at_end(stage.stdin))
    else:
        second = stage.attach(stdin=True)
        second.send(b"more")
        assert stage.read_stdin(4) == b"more"
    os.write(stage.stdout, b"answer")
    assert stage.received(client, 6) == b"answer"


def at_end(descriptor: int) -> bool:
    """Whether a reader is told the end."""
    try:
        return os.read(descriptor, 1) == b""
    except BlockingIOError:
        return False


def test_a_process_without_stdin_throws_input_away(stage: Stage) -> None:
    client = stage.attach(stdin=True)
    stage.start(stdin=False)
    client.send(b"ignored")
    os.write(stage.stdout, b"out")
    assert stage.received(client, 3) == b"out"
    assert not stage.streams._stdin_queue


def test_a_process_that_closes_its_stdin_goes_on(stage: Stage) -> None:
    client = stage.attach(stdin=True)
    stage.start()
    os.close(stage.stdin)
    stage.stdin = -1
    client.send(b"nobody reads this")
    os.write(stage.stdout, b"out")
    assert stage.received(client, 3) == b"out"


def test_detach_keys_end_the_client_and_not_the_process(stage: Stage) -> None:
    client, other = stage.attach(stdin=True, keys=b"\x10\x11"), stage.attach()
    stage.start()
    client.send(b"typed\x10")
    client.send(b"\x11")
    stage.run_until(lambda: stage.ended(client))
    assert stage.read_stdin(5)[:5] == b"typed"
    os.write(stage.stdout, b"lives")
    assert stage.received(other, 5) == b"lives"


def test_what_was_typed_before_the_detach_keys_arrives(stage: Stage) -> None:
    client = stage.attach(stdin=True, keys=b"\x10\x11")
    stage.start()
    client.send(b"typed\x10\x11never")
    stage.run_until(lambda: stage.ended(client))
    assert stage.read_stdin(5) == b"typed"


@pytest.mark.parametrize(
    ("keys", "typed", "detaches"),
    [
        (b"\x10\x11", [b"\x10\x11"], True),
        (b"\x10\x11", [b"\x10", b"\x11"], True),
        (b"\x10\x11", [b"a\x10b\x11"], False),
        (b"\x10\x11", [b"\x10\x10\x11"], True),
        (b"\x10\x11", [b"\x11\x10"], False),
        (b"ab", [b"xxaab"], True),
        (b"a", [b"bca"], True),
        (b"aab", [b"aaab"], True),
        (b"abac", [b"ababac"], True),
    ],
)
def test_where_detach_keys_are_found(stage: Stage, keys: bytes, typed: list[bytes], detaches: bool) -> None:
    ours, theirs = socket.socketpair()
    stage.sockets += [ours, theirs]
    client = Client(theirs, stage.streams, stdin=True, outputs=frozenset(), framed=False, keys=keys)
    assert any(client._find_detach(data) is not None for data in typed) is detaches
    stage.loop.forget(theirs.fileno())


def test_a_terminal_carries_both_directions(stage: Stage) -> None:
    client = stage.attach(stdin=True)
    stage.start_terminal()
    client.send(b"typed")
    assert stage.read_stdin(5) == b"typed"
    os.write(stage.stdout, b"shown")
    assert stage.received(client, 5) == b"shown"
    client.shutdown(socket.SHUT_WR)
    os.write(stage.stdout, b"still shown")
    assert stage.received(client, 11) == b"still shown"


def test_input_to_a_terminal_goes_on_when_the_client_has_caught_up(stage: Stage) -> None:
    """The program reads nothing while the client does not read either; then both do, and nothing is stuck."""
    client = stage.attach(stdin=True)
    stage.start_terminal()
    shown, typed = [0], [0]

    def fill() -> bool:
        full = 0
        try:
            shown[0] += os.write(stage.stdout, bytes(4096))
        except BlockingIOError:
            full += shown[0] > QUEUE_LIMIT
        with contextlib.suppress(BlockingIOError):
            typed[0] += client.send(b"x" * 4096) if typed[0] < 1 << 16 else 0
        return bool(full and stage.streams._paused and stage.streams._stdin_queue)

    stage.run_until(fill)
    shown_parts: list[bytes] = []
    typed_parts: list[bytes] = []

    def drain() -> bool:
        stage._take(lambda: client.recv(65536), shown_parts)
        stage._take(lambda: os.read(stage.stdin, 65536), typed_parts)
        return sum(map(len, shown_parts)) == shown[0] and sum(map(len, typed_parts)) == typed[0]

    stage.run_until(drain)


def test_idle_is_told_when_the_last_one_leaves(stage: Stage) -> None:
    client = stage.attach()
    assert not stage.streams.idle
    client.close()
    stage.run_until(lambda: stage.idle)
    assert stage.streams.idle
    stage.start()
    assert not stage.streams.idle
    stage.end()
    assert stage.streams.idle


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=300)), max_size=12))
def test_frames_of_any_output_can_be_taken_apart(writes: list[tuple[int, bytes]]) -> None:
    stage = Stage()
    try:
        client = stage.attach(framed=True)
        stage.start()
        for stream, data in writes:
            os.write(stage.stdout if stream == 1 else stage.stderr, data)
        total = {n: b"".join(data for stream, data in writes if stream == n) for n in (1, 2)}
        stage.end()
        wire = b"".join(iter(lambda: client.recv(65536), b""))
        got = {1: b"", 2: b""}
        while wire:
            size = int.from_bytes(wire[4:8], "big")
            got[wire[0]] += wire[8 : 8 + size]
            wire = wire[8 + size :]
        assert got == total
    finally:
        stage.close()
