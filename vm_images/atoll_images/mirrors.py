"""Where packages are fetched from.

The first that is given wins: an option, `ATOLL_DEBIAN_MIRROR`, the Debian mirrors in the machine's own apt
configuration, a public one. What is fetched is always compared with a hash, so a mirror need not be trusted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .deb822 import parse_paragraphs
from .errors import ImageError
from .lock import Lock, LockedPackage

VARIABLE = "ATOLL_DEBIAN_MIRROR"
DEFAULT_MIRROR = "https://mirrors.kernel.org/debian"
SECURITY_MIRROR = "https://security.debian.org/debian-security"
SNAPSHOT = "https://snapshot.debian.org/archive"
_SUITE = re.compile(r"(?:buster|bullseye|bookworm|trixie|forky|duke|sid|(?:old)*stable|testing|unstable)(?:-[\w-]+)?/?")


@dataclass(frozen=True)
class Mirrors:
    """Base addresses in the order they are tried.

    Attributes:
        main: of the archive `debian`.
        security: of the archive `debian-security`.
        snapshot: of the archive of everything that ever was; empty to do without.
    """

    main: tuple[str, ...]
    security: tuple[str, ...]
    snapshot: str = SNAPSHOT

    def of(self, archive: str) -> tuple[str, ...]:
        """The bases of an archive."""
        return self.security if archive == "debian-security" else self.main

    def addresses(self, package: LockedPackage) -> list[str]:
        """Where a package should be."""
        return [f"{base}/{package.filename}" for base in self.of(package.archive)]

    def snapshot_address(self, package: LockedPackage, lock: Lock) -> str:
        """Where the snapshot archive has a package, as of the day of the lock."""
        stamp = re.sub(r"[-:]|\+.*", "", lock.date) + "Z"
        return f"{self.snapshot}/{package.archive}/{stamp}/{package.filename}"


def choose_mirrors(option: str | None, environment: Mapping[str, str] = os.environ, apt: Path | None = None) -> Mirrors:
    """Decide on the mirrors.

    Arguments:
        option: what the user asked for; nothing else is tried then, except for what it may not carry.
        apt: the apt configuration's directory.
    """
    chosen = option or environment.get(VARIABLE)
    if chosen:
        base = _check(chosen)
        return Mirrors((base,), _security_of([base]))
    found = [_check(base) for base in read_apt_configuration(apt or Path("/etc/apt"))]
    main = [base for base in found if not base.endswith("-security")]
    security = [base for base in found if base.endswith("-security")]
    main = _unique([*main, DEFAULT_MIRROR])
    return Mirrors(tuple(main), tuple(_unique([*security, *_security_of(main)])))


def read_apt_configuration(directory: Path) -> list[str]:
    """The bases of Debian's archives in an apt configuration (sources.list(5)), in order of first mention.

    An Ubuntu's or a third party's archives have other suites or paths and are passed over; one that slips through
    has not our files, and the next mirror is asked.
    """
    lists = [directory / "sources.list", *sorted((directory / "sources.list.d").glob("*.list"))]
    bases: list[str] = []
    for path in lists:
        bases += _one_line_style(_read(path))
    for path in sorted((directory / "sources.list.d").glob("*.sources")):
        bases += _deb822_style(_read(path))
    return _unique(base.rstrip("/") for base in bases)


def _one_line_style(text: str) -> Iterator[str]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)", line)
        if match and _is_debian(match[1], [match[2]], match[3].split()):
            yield match[1]


def _deb822_style(text: str) -> Iterator[str]:
    for fields in parse_paragraphs(text):
        if "deb" not in fields.get("Types", "").split() or fields.get("Enabled", "yes").lower() in ("no", "false"):
            continue
        for base in fields.get("URIs", "").split():
            if _is_debian(base, fields.get("Suites", "").split(), fields.get("Components", "").split()):
                yield base


def _is_debian(base: str, suites: list[str], components: list[str]) -> bool:
    path = urlsplit(base).path.rstrip("/")
    return (
        base.startswith(("http://", "https://"))
        and path.endswith(("/debian", "/debian-security"))
        and any(_SUITE.fullmatch(suite) for suite in suites)
        and "main" in components
    )


def _security_of(bases: list[str]) -> tuple[str, ...]:
    beside = [base.removesuffix("/debian") + "/debian-security" for base in bases if base.endswith("/debian")]
    return tuple(_unique([*beside, SECURITY_MIRROR]))


def _check(base: str) -> str:
    if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).netloc:
        raise ImageError(f"not a mirror's address: {base}", "it looks like https://host/debian")
    return base.rstrip("/")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
