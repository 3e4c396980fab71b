"""The supervisor's event loop: one epoll, callbacks by descriptor, timers."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import select
import time
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
HANGUP = select.EPOLLHUP | select.EPOLLERR

Callback = Callable[[int], None]


class Loop:
    """Waits for descriptors and timers and calls back. One thread only."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._masks: dict[int, int] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.running = True

    def watch(self, descriptor: int, mask: int, callback: Callback) -> None:
        """Call `callback(events)` when the descriptor is ready; a mask of 0 stops watching."""
        if mask == 0:
            self.forget(descriptor)
        elif descriptor in self._callbacks:
            self._callbacks[descriptor] = callback
            if self._masks[descriptor] != mask:
                self._epoll.modify(descriptor, mask)
        else:
            self._epoll.register(descriptor, mask)
            self._callbacks[descriptor] = callback
        if mask:
            self._masks[descriptor] = mask

    def forget(self, descriptor: int) -> None:
        """Stop watching; to be called before the descriptor is closed."""
        if self._callbacks.pop(descriptor, None):
            self._masks.pop(descriptor, None)
            with contextlib.suppress(OSError):
                self._epoll.unregister(descriptor)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call once after a delay."""
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._order), callback))

    def run(self) -> None:
        """Run until `running` is set to False."""
        while self.running:
            timeout = -1.0
            if self._timers:
                timeout = max(0.0, self._timers[0][0] - time.monotonic())
            for descriptor, events in self._epoll.poll(timeout):
                callback = self._callbacks.get(descriptor)
                if callback:
                    callback(events)
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()

    def close(self) -> None:
        """Give the epoll descriptor back."""
        self._epoll.close()
