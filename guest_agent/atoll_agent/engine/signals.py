"""Signals by the names Docker's clients use."""

from __future__ import annotations

import signal

from ..api.errors import invalid

DEFAULT_STOP_SIGNAL = "SIGTERM"


def parse_signal(text: str) -> int:
    """`SIGTERM`, `TERM`, `15` or `SIGRTMIN+3`.

    Raises:
        AgentError: unknown.
    """
    plain = str(text).strip().upper()
    if plain.isascii() and plain.isdigit() and 0 < int(plain) <= 64:
        return int(plain)
    plain = plain.removeprefix("SIG")
    base, plus, offset = plain.partition("+")
    try:
        number = int(signal.Signals[f"SIG{base}"])
        return number + (int(offset) if plus else 0)
    except (KeyError, ValueError):
        raise invalid(f"invalid signal: {str(text)[:40]}") from None
