"""Values of Docker's flags, parsed (pure): sizes, CPUs, environments, mounts, limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..client.types import DeviceMapping, Mount


TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
_SHIFTS = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
NANO = 1_000_000_000


def parse_size(text: str) -> int:
    """Parse `512`, `64k`, `1.5g` into bytes; units are binary, as Docker's for memory.

    Raises:
        ValueError: not a size.
    """
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"invalid size: {text!r}")
    return int(float(match[1]) * (1 << _SHIFTS[match[2].lower()]))


def parse_swap(text: str) -> int:
    """Parse `--memory-swap`: a size, or -1 for no limit."""
    return -1 if text.strip() == "-1" else parse_size(text)


def parse_cpus(text: str) -> int:
    """Parse `1.5` into billionths of a CPU.

    Raises:
        ValueError: not a number of CPUs, or more precise than a billionth.
    """
    match = re.fullmatch(r"(\d*)(?:\.(\d{1,9}))?", text.strip())
    if not match or not (match[1] or match[2]):
        raise ValueError(f"invalid number of cpus: {text!r}")
    return int(match[1] or "0") * NANO + int((match[2] or "").ljust(9, "0"))


def parse_env_file(text: str) -> list[str]:
    """Parse an environment file: `NAME=value` or `NAME` per line, `#` at the start of a line comments it out.

    Raises:
        ValueError: a name with white space, or none.
    """
    entries = []
    for line in text.removeprefix("\ufeff").splitlines():
        entry = line.lstrip()
        if not entry or entry.startswith("#"):
            continue
        name = entry.partition("=")[0]
        if not name or any(c.isspace() for c in name):
            raise ValueError(f"invalid name in environment file: {name!r}")
        entries.append(entry)
    return entries


def resolve_environment(entries: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """Give entries without a value the value they have here; drop those that have none. The last of a name wins.

    Raises:
        ValueError: an entry without a name.
    """
    result: dict[str, str] = {}
    for entry in entries:
        name, equals, _ = entry.partition("=")
        if not name:
            raise ValueError(f"invalid environment variable: {entry!r}")
        if equals:
            result[name] = entry
        elif name in environ:
            result[name] = f"{name}={environ[name]}"
    return list(result.values())


def parse_labels(entries: Iterable[str]) -> dict[str, str]:
    """Parse `name=value` entries; a name alone has an empty value."""
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


def split_volumes(volumes: Iterable[str]) -> tuple[list[str], dict[str, dict[str, object]]]:
    """Split `-v` values into binds (`source:target[:options]`) and anonymous volumes (`target`)."""
    binds, anonymous = [], {}
    for volume in volumes:
        # A drive letter is not a source of its own: in `C:\\data:/data` the first colon belongs to the path.
        start = 2 if re.match(r"[A-Za-z]:[\\/]", volume) else 0
        if ":" in volume[start:]:
            binds.append(volume)
        else:
            anonymous[volume] = dict[str, object]()
    return binds, anonymous


def parse_tmpfs(entries: Iterable[str]) -> dict[str, str]:
    """Parse `--tmpfs target[:options]`."""
    return {target: options for target, _, options in (entry.partition(":") for entry in entries)}


def parse_mount(text: str) -> Mount:
    """Parse `--mount type=bind,source=/a,target=/b,readonly`.

    Raises:
        ValueError: an unknown key, or no target.
    """
    mount: Mount = {"Type": "volume"}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        _set_mount_field(mount, key.strip().lower(), value if equals else "true", field)
    if not mount.get("Target"):
        raise ValueError(f"mount without a target: {text!r}")
    return mount


def _set_mount_field(mount: Mount, key: str, value: str, field: str) -> None:
    if key == "type":
        mount["Type"] = value.lower()
    elif key in ("source", "src"):
        mount["Source"] = value
    elif key in ("target", "destination", "dst"):
        mount["Target"] = value
    elif key in ("readonly", "ro"):
        mount["ReadOnly"] = value.lower() in ("true", "1")
    elif key == "bind-propagation":
        mount.setdefault("BindOptions", {})["Propagation"] = value
    elif key == "volume-nocopy":
        mount.setdefault("VolumeOptions", {})["NoCopy"] = value.lower() in ("true", "1")
    elif key == "volume-subpath":
        mount.setdefault("VolumeOptions", {})["Subpath"] = value
    elif key == "tmpfs-size":
        mount.setdefault("TmpfsOptions", {})["SizeBytes"] = parse_size(value)
    elif key == "tmpfs-mode":
        mount.setdefault("TmpfsOptions", {})["Mode"] = int(value, 8)
    else:
        raise ValueError(f"unknown field in mount: {field!r}")


def parse_device(text: str) -> DeviceMapping:
    """Parse `--device host[:container[:rwm]]`.

    Raises:
        ValueError: permissions other than of `r`, `w` and `m`.
    """
    parts = text.split(":")
    permissions = "rwm"
    if len(parts) > 1 and parts[-1] and set(parts[-1]) <= set("rwm"):
        permissions = parts.pop()
    if len(parts) > 2 or not parts[0]:
        raise ValueError(f"invalid device: {text!r}")
    return {"PathOnHost": parts[0], "PathInContainer": parts[-1], "CgroupPermissions": permissions}


def parse_ulimit(text: str) -> dict[str, object]:
    """Parse `--ulimit name=soft[:hard]`.

    Raises:
        ValueError: not a limit.
    """
    name, equals, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    try:
        if not equals or not name:
            raise ValueError
        return {"Name": name, "Soft": int(soft), "Hard": int(hard if colon else soft)}
    except ValueError:
        raise ValueError(f"invalid ulimit: {text!r}") from None


def parse_restart(text: str) -> dict[str, object]:
    """Parse `--restart no|always|unless-stopped|on-failure[:max]`.

    Raises:
        ValueError: another policy.
    """
    name, colon, count = text.partition(":")
    if name not in ("no", "always", "unless-stopped", "on-failure") or (colon and not count.isdigit()):
        raise ValueError(f"invalid restart policy: {text!r}")
    if colon and name != "on-failure":
        raise ValueError(f"a number of attempts goes with on-failure only: {text!r}")
    return {"Name": name, "MaximumRetryCount": int(count or "0")}
