"""Options of a local volume, and the mount they mean: `type`, `device` and `o`, as for mount(8).

Pure but for the look-up of a host's address, which the caller passes in.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from ..api.errors import invalid

KNOWN = ("type", "o", "device", "size")
_NEEDS = {"device": ("type",), "type": ("device",), "o": ("device", "type")}
ATTRIBUTES = ("ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "strictatime", "nosymfollow")
_NEUTRAL = ("rw", "suid", "dev", "exec", "async", "atime", "diratime", "norelatime", "defaults", "auto", "noauto")
_PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable")
_SUPERBLOCK = ("ro",)
_PASSWORD = re.compile(r"(?<=password=)[^,]*")


@dataclass(frozen=True)
class VolumeMount:
    """What to mount for a volume.

    Attributes:
        kind: file system type; "" for a bind of `device`.
        device: what is mounted.
        attributes: of `ATTRIBUTES`.
        parameters: the file system's own, `(name, value)`; None as value for a flag.
        recursive: whether a bind takes along what is mounted below.
        propagation: as mount(8) has it; "" leaves it alone.
    """

    kind: str
    device: str
    attributes: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str | None], ...] = field(default=())
    recursive: bool = False
    propagation: str = ""


def check_options(options: dict[str, str]) -> None:
    """Refuse what a local volume cannot be made from.

    Raises:
        AgentError: an unknown option, one without those it needs, or a quota.
    """
    for name in options:
        if name not in KNOWN:
            raise invalid(f'invalid option: "{name[:80]}"')
    if any("\0" in value for value in options.values()):
        raise invalid("invalid option: NUL byte")
    if options.get("type") == "cifs" and options.get("device") and _has_port(options["device"]):
        raise invalid("port not allowed in CIFS device URL, include 'port' in 'o='")
    if "size" in options:
        raise invalid("quota size requested but no quota support")
    for name, needed in _NEEDS.items():
        missing = next((other for other in needed if name in options and other not in options), None)
        if missing:
            raise invalid(f'missing required option: "{missing}"')


def _has_port(device: str) -> bool:
    try:
        return urlsplit(device).port is not None
    except ValueError as error:
        raise invalid(f"error parsing mount device url: {error}") from error


def needs_mount(options: dict[str, str] | None) -> bool:
    """Whether a volume is more than a directory."""
    return bool(options and (options.get("device") or options.get("type")))


def plan_mount(options: dict[str, str], resolve: Callable[[str], str]) -> VolumeMount:
    """The mount of a volume.

    Arguments:
        resolve: the address of a host, asked for the servers of network file systems: the kernel knows no names.

    Raises:
        OSError: the host cannot be found.
    """
    kind, device = options.get("type", ""), options.get("device", "")
    words = [word for word in options.get("o", "").split(",") if word]
    if kind in ("nfs", "nfs4", "cifs"):
        words, resolved = _resolve_address(words, resolve)
        if kind == "cifs" and not resolved:
            device = _resolve_device(device, resolve)
    bind = next((word for word in words if word in ("bind", "rbind")), "")
    attributes = tuple(word for word in words if word in ATTRIBUTES)
    taken = {*ATTRIBUTES, *_NEUTRAL, *_PROPAGATIONS, "bind", "rbind"} - set(_SUPERBLOCK)
    parameters = [_split(word) for word in words if word not in taken]
    return VolumeMount(
        kind="" if bind else kind,
        device=device,
        attributes=attributes,
        parameters=() if bind else tuple(parameters),
        recursive=bind == "rbind",
        propagation=next((word for word in words if word in _PROPAGATIONS), ""),
    )


def _split(word: str) -> tuple[str, str | None]:
    name, equals, value = word.partition("=")
    return name, value if equals else None


def _resolve_address(words: list[str], resolve: Callable[[str], str]) -> tuple[list[str], bool]:
    """The words with the host of `addr=` as a number; and whether there was a name."""
    found = []
    resolved = False
    for word in words:
        name, value = _split(word)
        if name == "addr" and value and not resolved and not _is_address(value):
            word, resolved = f"addr={resolve(value)}", True
        found.append(word)
    return found, resolved


def _resolve_device(device: str, resolve: Callable[[str], str]) -> str:
    """`//host/share` with the host as a number."""
    host = urlsplit(device).netloc
    if not host or _is_address(host):
        return device
    return unquote(device.replace(host, resolve(host), 1))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def describe_mount(options: dict[str, str], path: str) -> str:
    """What was tried, for an error message: passwords are not told."""
    data = f", data: {_PASSWORD.sub('********', options['o'])}" if options.get("o") else ""
    return f"mount {options.get('device', '')}:{path}{data}"
