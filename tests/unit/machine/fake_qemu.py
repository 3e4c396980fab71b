"""A QEMU for tests: speaks QMP and plays the guest at the other end of the wire, as its first argument's file tells.

The file named by FAKE_QEMU holds JSON: {"kvm": "abort", "tcg": "ok", ...}; a behaviour is `ok`, `abort` (end at once),
`hang` (answer the monitor, never boot), `deaf` (no wire) or `panic-once` (end after the start, the first time).
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "guest_agent")]

from atoll_agent.api.mux import Data, Eof, Event, Multiplexer, Writable  # noqa: E402


def option(words: list[str], name: str, key: str) -> str:
    """The value of `key` in the option of the character device `name`."""
    text = next(word for word in words if word.startswith(("socket,", "file,")) and f"id={name}," in word)
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)[key]


def listen(path: str) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(1)
    return server


def answer(request: bytes) -> bytes:
    body = b"OK"
    if b" /images/json" in request:
        body = json.dumps([{"RepoTags": ["atoll/base:latest"]}]).encode()
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Guest:
    """The other end of the wire: answers HTTP, echoes everything else."""

    def __init__(self, wire: socket.socket) -> None:
        self.wire = wire
        self.mux = Multiplexer(host=False)
        self.pending: dict[int, bytes] = {}
        self.ended: set[int] = set()

    def play(self) -> None:
        while data := self.wire.recv(65536):
            for event in self.mux.feed(data):
                self.handle(event)
            self.wire.sendall(self.mux.outgoing())

    def handle(self, event: Event) -> None:
        if isinstance(event, Data):
            if b"/atoll/shutdown" in event.data:
                os._exit(0)
            if b"HTTP/1.1" in event.data:
                self.mux.send(event.stream, answer(event.data))
                self.mux.close(event.stream)
                return
            self.pending[event.stream] = self.pending.get(event.stream, b"") + event.data
        elif isinstance(event, Eof):
            self.ended.add(event.stream)
        if isinstance(event, Data | Eof | Writable):
            self.echo(event.stream)

    def echo(self, stream: int) -> None:
        waiting = self.pending.get(stream, b"")
        sent = self.mux.send(stream, waiting)
        self.pending[stream] = waiting[sent:]
        self.mux.consumed(stream, sent)
        if stream in self.ended and not self.pending[stream]:
            self.mux.send_eof(stream)
            self.mux.close(stream)


def commands(monitor: socket.socket) -> Iterator[dict[str, Any]]:
    """QMP's commands; clients need not end them with a newline."""
    decoder, text = json.JSONDecoder(), ""
    while data := monitor.recv(65536):
        text += data.decode()
        while text := text.lstrip():
            try:
                command, end = decoder.raw_decode(text)
            except ValueError:
                break
            text = text[end:]
            yield command


def panicked() -> bool:
    """Whether this was called before."""
    try:
        Path(os.environ["FAKE_QEMU"]).with_name("panicked").touch(exist_ok=False)
    except FileExistsError:
        return True
    return False


def main() -> None:
    words = sys.argv[1:]
    if words == ["--version"]:
        print("QEMU emulator version 8.2.0")
        return
    accelerator = words[words.index("-accel") + 1].split(",")[0]
    behaviour = json.loads(Path(os.environ["FAKE_QEMU"]).read_text())[accelerator]
    if behaviour == "abort":
        print("qemu-system-x86_64: failed to set MSR", file=sys.stderr)
        os._exit(134)
    Path(option(words, "console", "path")).write_text("the last line of the console\n")
    if behaviour != "deaf":
        wire_server = listen(option(words, "wire", "path"))
    monitor = listen(option(words, "monitor", "path")).accept()[0]
    file = monitor.makefile("w")

    def say(message: object) -> None:
        file.write(json.dumps(message) + "\n")
        file.flush()

    say({"QMP": {"version": {"qemu": {"major": 8, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}})
    for command in commands(monitor):
        say({"return": {}, "id": command.get("id")})
        if command["execute"] == "cont" and behaviour == "panic-once" and not panicked():
            os._exit(0)
        if command["execute"] == "cont" and behaviour in ("ok", "panic-once"):
            wire = wire_server.accept()[0]
            threading.Thread(target=Guest(wire).play, daemon=True).start()
            stamp = {"seconds": 0, "microseconds": 0}
            say({"event": "VSERPORT_CHANGE", "data": {"id": "wire", "open": True}, "timestamp": stamp})
        if command["execute"] == "quit":
            return


if __name__ == "__main__":
    main()
