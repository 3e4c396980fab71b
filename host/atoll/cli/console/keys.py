"""The keys that leave an attached container without ending it (`ctrl-p,ctrl-q`)."""

from __future__ import annotations

DEFAULT = "ctrl-p,ctrl-q"
_CONTROL = {f"ctrl-{c}": ord(c) & 0x1F for c in "abcdefghijklmnopqrstuvwxyz@[\\]^_"}


def parse_keys(text: str) -> bytes:
    """Parse a sequence of keys, comma-separated: single characters or `ctrl-` with one of `a-z@[\\]^_`.

    Raises:
        ValueError: another key.
    """
    return bytes(_parse_key(key) for key in text.split(",")) if text else b""


def _parse_key(key: str) -> int:
    if len(key) == 1 and key.isascii():
        return ord(key)
    try:
        return _CONTROL[key.lower()]
    except KeyError:
        raise ValueError(f"unknown key in detach keys: {key!r}") from None


class DetachFilter:
    """Watches what is typed for the sequence.

    A beginning of the sequence is held back until it is clear whether the rest follows; the engine would otherwise see
    half of it.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Take typed bytes; returns what to pass on, and whether the sequence was completed."""
        if not self._keys:
            return data, False
        passed = bytearray()
        for value in data:
            self._held += bytes([value])
            while self._held and not self._keys.startswith(self._held):
                passed.append(self._held[0])
                self._held = self._held[1:]
            if self._held == self._keys:
                return bytes(passed), True
        return bytes(passed), False
