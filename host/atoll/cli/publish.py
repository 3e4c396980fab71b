"""`--publish` and `--expose`: ports of a container, and where they are reached (pure)."""

from __future__ import annotations

from collections.abc import Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    Bindings = dict[str, list[dict[str, str]]]

PROTOCOLS = ("tcp", "udp", "sctp")
MAX_PORT = 65535


def parse_publish(entries: Iterable[str]) -> Bindings:
    """Parse `[[address:][port]:]port[/protocol]` entries; any port may be a range, the outer one may be empty or 0.

    The long form `target=80,published=8080,protocol=tcp` is understood too.

    Returns:
        bindings by `port/protocol`, in the order given.

    Raises:
        ValueError: not such an entry.
    """
    bindings: Bindings = {}
    for entry in entries:
        for port, binding in _parse_entry(_shorten(entry), entry):
            bindings.setdefault(port, []).append(binding)
    return bindings


def parse_expose(entries: Iterable[str]) -> list[str]:
    """Parse `port[/protocol]` or `first-last[/protocol]` entries into `port/protocol`.

    Raises:
        ValueError: not a port or a range.
    """
    ports = []
    for entry in entries:
        if ":" in entry:
            raise ValueError(f"invalid port format for --expose: {entry}")
        text, protocol = _split_protocol(entry)
        first, last = parse_range(text)
        ports += [f"{port}/{protocol}" for port in range(first, last + 1)]
    return ports


def parse_range(text: str) -> tuple[int, int]:
    """Parse `80` or `80-90`.

    Raises:
        ValueError: not a port, or the wrong way round.
    """
    first, dash, last = text.partition("-")
    start = _parse_port(first, text)
    end = _parse_port(last, text) if dash else start
    if end < start:
        raise ValueError(f"invalid range of ports: {text!r}")
    return start, end


def _parse_port(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > MAX_PORT:
        raise ValueError(f"invalid port: {whole!r}")
    return int(text)


def _shorten(entry: str) -> str:
    """Turn the long form into the short one."""
    if "=" not in entry:
        return entry
    fields = {"protocol": "tcp", "published": "", "target": ""}
    for field in entry.split(","):
        key, equals, value = field.partition("=")
        if not equals or not key:
            raise ValueError(f"invalid field of --publish: {field!r} (use name=value)")
        fields[key] = value
    return f"{fields['published']}:{fields['target']}/{fields['protocol']}"


def _split_protocol(text: str) -> tuple[str, str]:
    port, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash and protocol else "tcp"
    if protocol not in PROTOCOLS:
        raise ValueError(f"invalid protocol: {protocol!r} (use tcp, udp or sctp)")
    return port, protocol


def _split(text: str) -> tuple[str, str, str]:
    """Split into address, outer and inner port at the last two colons: an IPv6 address has some of its own."""
    parts = text.split(":")
    if len(parts) == 1:
        return "", "", parts[0]
    return ":".join(parts[:-2]), parts[-2], parts[-1]


def _parse_entry(text: str, entry: str) -> list[tuple[str, dict[str, str]]]:
    address, outer, inner = _split(text)
    inner, protocol = _split_protocol(inner)
    if not inner:
        raise ValueError(f"no port specified: {entry!r}")
    address = _check_address(address)
    first, last = parse_range(inner)
    outers = _match_ranges(outer, last - first, entry)
    return [
        (f"{port}/{protocol}", {"HostIp": address, "HostPort": outers[port - first]}) for port in range(first, last + 1)
    ]


def _match_ranges(outer: str, more: int, entry: str) -> list[str]:
    """The outer port of each inner one; a single inner port may choose out of an outer range."""
    if not outer:
        return [""] * (more + 1)
    first, last = parse_range(outer)
    if last - first == more:
        return [str(port) for port in range(first, last + 1)]
    if more == 0:
        return [f"{first}-{last}"]
    raise ValueError(f"ranges of different length: {entry!r}")


def _check_address(text: str) -> str:
    if not text:
        return ""
    import socket

    address = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except OSError:
        raise ValueError(f"invalid address: {text!r}") from None
    return address
