"""For which machine an image is: operating system, architecture and variant, as OCI spells them."""

from __future__ import annotations

import json
import platform as this_system
from dataclasses import dataclass
from typing import Any

from ..api.errors import invalid

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
NATIVE_ARCHITECTURE = ARCHITECTURES.get(this_system.machine(), this_system.machine())
_OTHER_NAMES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm"}
_DEFAULT_VARIANTS = {"arm64": "v8", "arm": "v7"}


@dataclass(frozen=True)
class Platform:
    """A platform; `variant` "" means any."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


NATIVE = Platform("linux", NATIVE_ARCHITECTURE)


def parse_platform(text: str) -> Platform | None:
    """`linux/arm64/v8`, `arm64`, or the JSON object of newer clients; None for "".

    Raises:
        AgentError: malformed.
    """
    if not text:
        return None
    if text.startswith("{"):
        try:
            raw = json.loads(text)
            parts = [str(raw.get(key) or "") for key in ("os", "architecture", "variant")]
        except (ValueError, AttributeError, RecursionError) as error:
            raise invalid(f"failed to parse platform: {error}") from error
    else:
        parts = text.lower().split("/")
        if len(parts) == 1 and parts[0] != "linux":
            parts = ["linux", parts[0]]
    if len(parts) > 3 or not all(part.replace("-", "").replace("_", "").isalnum() for part in parts if part):
        raise invalid(f"{text[:80]!r} is an invalid platform")
    parts += [""] * (3 - len(parts))
    architecture = _OTHER_NAMES.get(parts[1], parts[1]) or NATIVE_ARCHITECTURE
    return Platform(parts[0] or "linux", architecture, parts[2])


def matches_platform(wanted: Platform, found: dict[str, Any]) -> bool:
    """Whether a configuration or a descriptor's `platform` is for the wanted one; what it does not say fits."""
    system, architecture = str(found.get("os") or "linux"), str(found.get("architecture") or "")
    variant = str(found.get("variant") or "") or _DEFAULT_VARIANTS.get(architecture, "")
    if system != wanted.os or (architecture and _OTHER_NAMES.get(architecture, architecture) != wanted.architecture):
        return False
    return not wanted.variant or not variant or variant == wanted.variant
