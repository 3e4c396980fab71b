"""What happens, told to whoever listens: Docker's events, with a short memory for `since`."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

Event = dict[str, Any]
MEMORY = 256
QUEUE = 1024


class Events:
    """Publishes events. Thread-safe; a listener that does not keep up is dropped rather than waited for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._past: deque[Event] = deque(maxlen=MEMORY)
        self._listeners: list[queue.Queue[Event | None]] = []

    def publish(self, kind: str, action: str, actor: str, attributes: dict[str, str]) -> None:
        """Tell that `action` happened to the `kind` named `actor`."""
        now = time.time_ns()
        event: Event = {
            "Type": kind,
            "Action": action,
            "Actor": {"ID": actor, "Attributes": attributes},
            "scope": "local",
            "time": now // 1_000_000_000,
            "timeNano": now,
        }
        if kind in ("container", "image"):
            event |= {"status": action, "id": actor}
            if kind == "container":
                event["from"] = attributes.get("image", "")
        with self._lock:
            self._past.append(event)
            for listener in list(self._listeners):
                try:
                    listener.put_nowait(event)
                except queue.Full:
                    self._listeners.remove(listener)

    def listen(self, since_ns: int | None, until_ns: int | None) -> Iterator[Event | None]:
        """Events since `since_ns`, then new ones until `until_ns`; None now and then to notice a lost client.

        Nothing that happens after this call is missed, even before the first event is taken.
        """
        listener: queue.Queue[Event | None] = queue.Queue(QUEUE)
        with self._lock:
            past = list(self._past)
            self._listeners.append(listener)
        return self._tell(listener, past, since_ns, until_ns)

    def _tell(
        self, listener: queue.Queue[Event | None], past: list[Event], since_ns: int | None, until_ns: int | None
    ) -> Iterator[Event | None]:
        try:
            if since_ns is not None:
                yield from (
                    e for e in past if e["timeNano"] >= since_ns and (not until_ns or e["timeNano"] <= until_ns)
                )
            while until_ns is None or time.time_ns() < until_ns:
                left = 10.0 if until_ns is None else max(0.0, min(10.0, (until_ns - time.time_ns()) / 1e9))
                dropped = listener not in self._listeners
                try:
                    event = listener.get(timeout=0 if dropped else left)
                except queue.Empty:
                    if dropped:
                        return
                    event = None
                if event is None or until_ns is None or event["timeNano"] <= until_ns:
                    yield event
        finally:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)


def matches(event: Event, filters: dict[str, list[str]]) -> bool:
    """Whether an event passes Docker's filters: all keys must hold, of a key's values one."""
    attributes = event["Actor"]["Attributes"]
    for key, wanted in filters.items():
        if key == "label":
            have = list(attributes) + [f"{k}={v}" for k, v in attributes.items()]
            if not all(label in have for label in wanted):
                return False
            continue
        values: dict[str, set[str]] = {
            "type": {event["Type"]},
            "event": {event["Action"], event["Action"].partition(":")[0]},
            "scope": {"local"},
            "container": _names(event, "container"),
            "image": _names(event, "image") | {attributes.get("image", "")},
            "network": _names(event, "network"),
            "volume": _names(event, "volume"),
        }
        have_any = values.get(key, set())
        if wanted and not any(value in have_any or (key == "container" and _starts(event, value)) for value in wanted):
            return False
    return True


def _names(event: Event, kind: str) -> set[str]:
    if event["Type"] != kind:
        return set()
    return {event["Actor"]["ID"], event["Actor"]["Attributes"].get("name", "")}


def _starts(event: Event, value: str) -> bool:
    return bool(value) and event["Type"] == "container" and str(event["Actor"]["ID"]).startswith(value)
