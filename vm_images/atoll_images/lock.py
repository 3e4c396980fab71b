"""The lock: every package of every architecture, by version and hash, and the day of the archive they came from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import ImageError

FORMAT = 1
LOCK_PATH = Path(__file__).with_name("lock.json")


@dataclass(frozen=True)
class LockedPackage:
    """One package.

    Attributes:
        archive: `debian` or `debian-security`.
        filename: path below the archive's base.
    """

    name: str
    version: str
    archive: str
    filename: str
    size: int
    sha256: str

    @property
    def basename(self) -> str:
        """Name of the package's file."""
        return PurePosixPath(self.filename).name


@dataclass(frozen=True)
class Lock:
    """What an image is made of.

    Attributes:
        date: the Release file's date, ISO 8601 in UTC; also the date of every file in the image.
        packages: by architecture, in order of name.
    """

    date: str
    packages: Mapping[str, tuple[LockedPackage, ...]]

    @property
    def timestamp(self) -> int:
        """`date` in seconds since 1970."""
        return int(datetime.fromisoformat(self.date).timestamp())

    def digest(self, arch: str) -> str:
        """Identifies what this lock says about one architecture."""
        text = json.dumps([FORMAT, self.date, [asdict(package) for package in self.of(arch)]], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def of(self, arch: str) -> tuple[LockedPackage, ...]:
        """The packages of an architecture."""
        try:
            return self.packages[arch]
        except KeyError:
            raise ImageError(f"lock file knows no architecture {arch}", f"it has {', '.join(self.packages)}") from None


def format_date(timestamp: int) -> str:
    """Seconds since 1970 as the lock writes them."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def format_lock(lock: Lock) -> str:
    """Format the file: one package per line, so that changes read well."""
    lines = ["{", f' "format": {FORMAT},', f' "date": "{lock.date}",', ' "packages": {']
    for arch in sorted(lock.packages):
        lines.append(f'  "{arch}": [')
        rows = [f"   {json.dumps(asdict(package))}" for package in lock.packages[arch]]
        lines.append(",\n".join(rows))
        lines.append("  ]," if arch != max(lock.packages) else "  ]")
    return "\n".join([*lines, " }", "}", ""])


def parse_lock(text: str, what: str = "lock file") -> Lock:
    """Read what `format_lock` wrote.

    Raises:
        ImageError: not a lock, of another format, or with an entry that could lead a path astray.
    """
    try:
        raw = json.loads(text)
        if raw["format"] != FORMAT:
            raise ImageError(f"{what}: format {raw['format']}, expected {FORMAT}", "update atoll, or lock anew")
        packages = {arch: tuple(_parse_package(row) for row in rows) for arch, rows in raw["packages"].items()}
        lock = Lock(raw["date"], packages)
        _ = lock.timestamp
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageError(f"{what}: damaged: {error}", "restore the file, or lock anew") from error
    return lock


def load_lock(path: Path = LOCK_PATH) -> Lock:
    """Read a lock file."""
    try:
        return parse_lock(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"cannot read the lock file: {error}") from error


def _parse_package(row: dict[str, Any]) -> LockedPackage:
    package = LockedPackage(**row)
    if not re.fullmatch(r"[0-9a-f]{64}", package.sha256) or not isinstance(package.size, int) or package.size <= 0:
        raise ValueError(f"{package.name}: not a hash and a size")
    if not re.fullmatch(r"pool/[\w.+~/-]+\.deb", package.filename) or ".." in package.filename:
        raise ValueError(f"{package.name}: not a path in the archive: {package.filename!r}")
    if package.archive not in ("debian", "debian-security"):
        raise ValueError(f"{package.name}: unknown archive {package.archive!r}")
    return package


def describe_changes(old: Lock, new: Lock, arch: str) -> list[str]:
    """What moved between two locks, one line for each package."""
    before = {package.name: package.version for package in old.of(arch)}
    after = {package.name: package.version for package in new.of(arch)}
    names = sorted(before.keys() | after.keys())
    return [
        f"{name} {before.get(name, '(new)')} → {after.get(name, '(gone)')}"
        for name in names
        if before.get(name) != after.get(name)
    ]
