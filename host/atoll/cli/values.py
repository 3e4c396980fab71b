"""Values of Docker's flags, parsed (pure): sizes, CPUs, environments, limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..client.types import DeviceMapping


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


def parse_env_file(text: str, what: str = "environment") -> list[str]:
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
            raise ValueError(f"invalid name in {what} file: {name!r}")
        entries.append(entry)
    return entries


def resolve_environment(
    entries: Iterable[str], environ: Mapping[str, str], from_files: Iterable[str] = ()
) -> list[str]:
    """Give entries without a value the value they have here. The last of a name wins.

    A name that has no value here is dropped when it is from a file, and otherwise passed on without one, with which the
    engine takes the variable away that the image would set.

    Arguments:
        from_files: entries that come before the others.

    Raises:
        ValueError: an entry without a name.
    """
    result: dict[str, str] = {}
    for entry, required in [*((entry, False) for entry in from_files), *((entry, True) for entry in entries)]:
        name, equals, _ = entry.partition("=")
        if not name:
            raise ValueError(f"invalid environment variable: {entry!r}")
        if equals:
            result[name] = entry
        elif name in environ:
            result[name] = f"{name}={environ[name]}"
        elif required:
            result[name] = name
    return list(result.values())


def parse_labels(entries: Iterable[str]) -> dict[str, str]:
    """Parse `name=value` entries; a name alone has an empty value."""
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


def parse_pairs(entries: Iterable[str], flag: str) -> dict[str, str]:
    """Parse `name=value` entries.

    Raises:
        ValueError: one without `=`.
    """
    for entry in entries:
        if "=" not in entry:
            raise ValueError(f"invalid {flag}: {entry!r} (use name=value)")
    return parse_labels(entries)


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


def parse_capabilities(add: Iterable[str], drop: Iterable[str]) -> tuple[list[str], list[str]]:
    """Write `--cap-add` and `--cap-drop` as the engine keeps them: `CAP_NET_ADMIN`, sorted; what is added wins."""
    wanted, unwanted = ({_capability(name) for name in names} for names in (add, drop))
    unwanted -= wanted
    return (["ALL"] if "ALL" in wanted else sorted(wanted)), (["ALL"] if "ALL" in unwanted else sorted(unwanted))


def _capability(name: str) -> str:
    upper = name.strip().upper()
    return upper if upper == "ALL" or upper.startswith("CAP_") else f"CAP_{upper}"


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


_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 10**6, "s": NANO, "m": 60 * NANO, "h": 3600 * NANO}


def parse_duration(text: str, flag: str) -> int:
    """Parse `1m30s`, `500ms` or `0` into nanoseconds.

    Raises:
        ValueError: not a span of time, or one before it began.
    """
    if text.startswith("-"):
        raise ValueError(f"{flag} cannot be negative: {text!r}")
    if text == "0":
        return 0
    parts = list(_DURATION.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        raise ValueError(f"invalid duration of {flag}: {text!r} (use a number with its unit, as 1m30s)")
    return sum(round(float(part[1]) * _NANOSECONDS[part[2]]) for part in parts)


def parse_device_weight(text: str) -> dict[str, object]:
    """Parse `--blkio-weight-device path:weight`.

    Raises:
        ValueError: no path of a device, or a weight outside 10 to 1000 (0 for none).
    """
    path, weight = _split_device(text)
    if not weight.isdigit() or not (int(weight) == 0 or 10 <= int(weight) <= 1000):
        raise ValueError(f"invalid weight of a device: {text!r}")
    return {"Path": path, "Weight": int(weight)}


def parse_device_rate(text: str, *, sizes: bool) -> dict[str, object]:
    """Parse `--device-read-bps path:rate` and its like.

    Arguments:
        sizes: whether the rate may have a unit, as 10mb.

    Raises:
        ValueError: no path of a device, or not a rate.
    """
    path, rate = _split_device(text)
    if not sizes and not rate.isdigit():
        raise ValueError(f"invalid rate of a device: {text!r}")
    return {"Path": path, "Rate": parse_size(rate) if sizes else int(rate)}


def _split_device(text: str) -> tuple[str, str]:
    path, colon, value = text.partition(":")
    if not colon or not path.startswith("/dev/") or not value:
        raise ValueError(f"invalid limit of a device: {text!r} (use DEVICE:VALUE)")
    return path, value


_DEVICE_RULE = re.compile(r"[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}")


def check_device_rule(text: str) -> str:
    """Return a `--device-cgroup-rule`, if it is one.

    Raises:
        ValueError: not of the form `c 10:200 rwm`.
    """
    if not _DEVICE_RULE.fullmatch(text):
        raise ValueError(f"invalid device cgroup rule: {text!r} (use TYPE MAJOR:MINOR rwm)")
    return text
