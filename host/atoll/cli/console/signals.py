"""Signals to the command become signals to the container; a change of the window's size becomes a resize."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

FORWARDED = ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "CONT", "WINCH", "BREAK")
IMPATIENCE = 3
KILLED_BY_HAND = 137
SIZE_POLL_S = 0.25

Send = Callable[[str], None]
Resize = Callable[[], None]


@contextlib.contextmanager
def forwarded(send: Send) -> Iterator[None]:
    """Pass signals on to the container while the block runs.

    Each goes out from a thread of its own, so that the container's output keeps flowing. Whoever presses Ctrl-C three
    times wants to be gone, also from an engine that does not answer.

    Arguments:
        send: called with the signal's name without `SIG`; its errors are ignored: the container may just have ended.
    """
    presses = 0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal presses
        name = signal.Signals(number).name.removeprefix("SIG")
        if name in ("INT", "TERM"):
            presses += 1
            if presses > IMPATIENCE:
                os._exit(KILLED_BY_HAND)
        _in_background(lambda: send("INT" if name == "BREAK" else name))

    with _handlers({name: handle for name in FORWARDED if name != "WINCH"}):
        yield


@contextlib.contextmanager
def resized(resize: Resize) -> Iterator[None]:
    """Call `resize` once now and whenever the window changes while the block runs."""
    _in_background(resize)
    if sys.platform == "win32":
        with _polled(resize):
            yield
    else:
        with _handlers({"WINCH": lambda _number, _frame: _in_background(resize)}):
            yield


@contextlib.contextmanager
def _polled(resize: Resize) -> Iterator[None]:
    """Windows sends no signal for a new size: look from time to time."""
    from .terminal import size

    done = threading.Event()

    def watch() -> None:
        last = size()
        while not done.wait(SIZE_POLL_S):
            now = size()
            if now != last:
                last = now
                resize()

    _in_background(watch)
    try:
        yield
    finally:
        done.set()


@contextlib.contextmanager
def _handlers(handlers: dict[str, Callable[[int, FrameType | None], None]]) -> Iterator[None]:
    """Install handlers by name for those signals this system has; put the old ones back."""
    saved = []
    if threading.current_thread() is threading.main_thread():
        for name, handler in handlers.items():
            number = getattr(signal, f"SIG{name}", None)
            if number is not None:
                with contextlib.suppress(OSError, ValueError):
                    saved.append((number, signal.signal(number, handler)))
    try:
        yield
    finally:
        for number, old in saved:
            signal.signal(number, old)


def _in_background(work: Callable[[], None]) -> None:
    def quietly() -> None:
        from ...errors import HostError

        with contextlib.suppress(HostError, OSError):
            work()

    threading.Thread(target=quietly, daemon=True).start()
