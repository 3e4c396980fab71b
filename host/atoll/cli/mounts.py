"""`--mount`, spelled out as Docker's: one line of comma-separated fields becomes one mount (pure)."""

from __future__ import annotations

import os

from .values import FALSE, TRUE, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..client.types import Mount

SWITCHES = frozenset({"readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"})
RECURSIVE = {
    "enabled": None,
    "disabled": "NonRecursive",
    "writable": "ReadOnlyNonRecursive",
    "readonly": "ReadOnlyForceRecursive",
}
OPTIONS_OF = {
    "BindOptions": "bind",
    "VolumeOptions": "volume",
    "ImageOptions": "image",
    "TmpfsOptions": "tmpfs",
}
"""Which options belong to which type of mount."""


def split_fields(text: str) -> list[str]:
    """Split at commas; a field in double quotes may hold commas, a quote in it is doubled (RFC 4180).

    Raises:
        ValueError: quotes that do not match.
    """
    if '"' not in text:
        return text.split(",")
    fields, at = [], 0
    while at <= len(text):
        if text[at : at + 1] == '"':
            field, at = _read_quoted(text, at + 1)
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            field, at = text[at:end], end + 1
            if '"' in field:
                raise ValueError(f"stray quote in {text!r}")
        fields.append(field)
    return fields


def _read_quoted(text: str, at: int) -> tuple[str, int]:
    field = ""
    while True:
        end = text.find('"', at)
        if end < 0:
            raise ValueError(f"missing quote in {text!r}")
        field += text[at:end]
        follows = text[end + 1 : end + 2]
        if follows == '"':
            field, at = field + '"', end + 2
            continue
        if follows not in ("", ","):
            raise ValueError(f"stray quote in {text!r}")
        return field, end + 2


def parse_mount(text: str) -> Mount:
    """Parse `type=bind,source=/a,target=/b,readonly`; a source that begins with a dot is a path from here.

    Raises:
        ValueError: an unknown field, a field without its value, options of another type, or no target.
    """
    if not text.strip():
        raise ValueError("invalid mount: value is empty")
    mount: dict[str, Any] = {"Type": "volume"}
    for field in split_fields(text.strip()):
        key, equals, value = field.partition("=")
        if key != key.strip() or value != value.strip():
            raise ValueError(f"white space in field of mount: {field!r}")
        key = key.lower()
        if equals and not value:
            raise ValueError(f"invalid value for {key!r} in mount: value is empty")
        if not equals and key not in SWITCHES:
            raise ValueError(f"invalid field {field!r} in mount: must be a key=value pair")
        _set_field(mount, key, value if equals else "true", field)
    _check(mount, text)
    return mount  # type: ignore[return-value]


def _set_field(mount: dict[str, Any], key: str, value: str, field: str) -> None:
    if key in ("type", "consistency"):
        mount[key.title()] = value.lower()
    elif key in ("source", "src"):
        mount["Source"] = os.path.abspath(value) if value.startswith(".") else value  # noqa: PTH100
    elif key in ("target", "destination", "dst"):
        mount["Target"] = value
    elif key in ("readonly", "ro"):
        mount["ReadOnly"] = _parse_switch(key, value)
    elif key == "bind-recursive":
        if value not in RECURSIVE:
            raise ValueError(f"invalid value for {key}: {value!r} (use enabled, disabled, writable or readonly)")
        if option := RECURSIVE[value]:
            _options(mount, "BindOptions")[option] = True
    elif key == "bind-propagation":
        _options(mount, "BindOptions")["Propagation"] = value.lower()
    elif key == "bind-nonrecursive":
        _options(mount, "BindOptions")["NonRecursive"] = _parse_switch(key, value)
    elif key == "bind-create-src":
        _options(mount, "BindOptions")["CreateMountpoint"] = _parse_switch(key, value)
    elif key in ("volume-subpath", "image-subpath"):
        _options(mount, "VolumeOptions" if key[0] == "v" else "ImageOptions")["Subpath"] = value
    elif key == "volume-nocopy":
        _options(mount, "VolumeOptions")["NoCopy"] = _parse_switch(key, value)
    elif key == "volume-label":
        _add_pair(_options(mount, "VolumeOptions"), "Labels", value)
    elif key == "volume-driver":
        _options(mount, "VolumeOptions").setdefault("DriverConfig", {})["Name"] = value
    elif key == "volume-opt":
        _add_pair(_options(mount, "VolumeOptions").setdefault("DriverConfig", {}), "Options", value)
    elif key == "tmpfs-size":
        _options(mount, "TmpfsOptions")["SizeBytes"] = parse_size(value)
    elif key == "tmpfs-mode":
        _options(mount, "TmpfsOptions")["Mode"] = _parse_mode(value)
    else:
        raise ValueError(f"unknown field in mount: {field!r}")


def _options(mount: dict[str, Any], name: str) -> dict[str, Any]:
    options: dict[str, Any] = mount.setdefault(name, {})
    return options


def _add_pair(options: dict[str, Any], key: str, text: str) -> None:
    name, _, value = text.partition("=")
    options.setdefault(key, {})[name] = value


def _parse_switch(key: str, value: str) -> bool:
    if value not in TRUE | FALSE:
        raise ValueError(f"invalid value for {key}: {value!r} (use true or false)")
    return value in TRUE


def _parse_mode(value: str) -> int:
    try:
        return int(value, 8)
    except ValueError:
        raise ValueError(f"invalid value for tmpfs-mode: {value!r} (use an octal number)") from None


def _check(mount: dict[str, Any], text: str) -> None:
    kind = mount["Type"]
    if not mount.get("Target"):
        raise ValueError(f"mount without a target: {text!r}")
    for options, owner in OPTIONS_OF.items():
        if options in mount and owner != kind:
            raise ValueError(f"cannot mix {owner}-* options with mount type {kind!r}")
    bind = mount.get("BindOptions", {})
    if bind.get("ReadOnlyNonRecursive") and not mount.get("ReadOnly"):
        raise ValueError("bind-recursive=writable goes with readonly only")
    if bind.get("ReadOnlyForceRecursive") and not (mount.get("ReadOnly") and bind.get("Propagation") == "rprivate"):
        raise ValueError("bind-recursive=readonly goes with readonly and bind-propagation=rprivate only")
