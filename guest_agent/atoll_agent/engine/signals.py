"""Signals by the names Docker's clients use."""

from __future__ import annotations

import signal

from ..api.errors import invalid

DEFAULT_STOP_SIGNAL = "SIGTERM"


def parse_signal(text: str) -> int:
    """`SIGTERM`, `TERM`, `15`, `SIGRTMIN+3` or `SIGRTMAX-1`.

    Raises:
        AgentError: unknown.
    """
    plain = str(text).strip().upper()
    if plain.isascii() and plain.isdigit() and 0 < int(plain) <= 64:
        return int(plain)
    plain = plain.removeprefix("SIG")
    try:
        if plain[:6] in ("RTMIN+", "RTMAX-") and plain[6:].isdigit():
            number = signal.SIGRTMIN + int(plain[6:]) if plain[4] == "N" else signal.SIGRTMAX - int(plain[6:])
            if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
                return number
        return int(signal.Signals[f"SIG{plain}"])
    except (KeyError, ValueError):
        raise invalid(f"invalid signal: {str(text)[:40]}") from None
