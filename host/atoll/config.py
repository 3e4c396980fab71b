"""A machine's settings, as they lie on disk: readable JSON, every key known."""

from __future__ import annotations

import json
import platform
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from .errors import ConfigError
from .system.files import write_whole

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
RESERVED = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")
"""Windows has no files of these names; machines have the same names everywhere."""

ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
DRIVERS = ("qemu", "native")
ACCELERATORS = ("auto", "kvm", "hvf", "whpx", "tcg")


def host_architecture() -> str:
    """This computer's architecture as OCI spells it."""
    return ARCHITECTURES.get(platform.machine().lower(), "amd64")


@dataclass(frozen=True)
class MachineConfig:
    """What a user decides about a machine.

    Attributes:
        name: lower-case letters, digits and dashes.
        driver: `qemu`, or `native` for the engine straight on this host.
        arch: `amd64` or `arm64`.
        cpus: virtual processors.
        memory_mib: RAM.
        disk_gib: size of the data disk; it takes only what is used.
        accelerator: `auto`, or one to insist on.
        tcp: `host:port` on which the API answers, too; "" for none.
        tls: whether it asks there for the client's certificate.
    """

    name: str
    driver: str = "qemu"
    arch: str = ""
    cpus: int = 2
    memory_mib: int = 1024
    disk_gib: int = 64
    accelerator: str = "auto"
    tcp: str = ""
    tls: bool = True

    def check(self) -> MachineConfig:
        """Return itself, if it makes sense.

        Raises:
            ConfigError: with the field that does not.
        """
        if not NAME.fullmatch(self.name) or RESERVED.fullmatch(self.name):
            raise ConfigError(
                f"invalid machine name {self.name[:60]!r}", "use up to 40 lower-case letters, digits and dashes"
            )
        limits = (
            ("cpus", self.cpus, 1, 64),
            ("memory", self.memory_mib, 256, 1 << 20),
            ("disk", self.disk_gib, 1, 8192),
        )
        for word, value, least, most in limits:
            if type(value) is not int or not least <= value <= most:
                raise ConfigError(f"{word} of machine {self.name} is {value}; it must be between {least} and {most}")
        choices = (("driver", self.driver, DRIVERS), ("accelerator", self.accelerator, ACCELERATORS))
        for word, text, known in choices:
            if text not in known:
                raise ConfigError(f"unknown {word} {text!r} of machine {self.name}", f"known are: {', '.join(known)}")
        if self.tcp:
            split_address(self.tcp)
        if self.arch not in ("amd64", "arm64"):
            raise ConfigError(f"unknown architecture {self.arch!r} of machine {self.name}", "known are: amd64, arm64")
        return self


def split_address(text: str) -> tuple[str, int]:
    """`127.0.0.1:2376`, `[::1]:2376` or `:2376` (on loopback) as host and port.

    Raises:
        ConfigError: not an address.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) < 65536 or " " in host:
        raise ConfigError(f"invalid address {text[:60]!r}", "use HOST:PORT, such as 127.0.0.1:2376")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def save_config(config: MachineConfig, path: Path) -> None:
    """Write settings; whole or not at all."""
    write_whole(path, json.dumps(asdict(config), indent=2).encode() + b"\n")


def load_config(path: Path) -> MachineConfig:
    """Read settings.

    Raises:
        ConfigError: not readable, or with a key nobody knows.
    """
    try:
        raw = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}", "repair the file, or remove the machine") from error
    known = {field.name for field in fields(MachineConfig)}
    unknown = sorted(set(raw) - known) if isinstance(raw, dict) else ["(not an object)"]
    if unknown:
        raise ConfigError(f"unknown key {unknown[0]!r} in {path}", f"known are: {', '.join(sorted(known))}")
    try:
        return MachineConfig(**raw).check()
    except TypeError as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
