"""Debian's indexes, verified: InRelease by its signature, Packages by the hash in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from .compression import decompress
from .deb822 import parse_paragraphs
from .errors import ImageError
from .fetch import Gone, fetch_bytes
from .lock import Lock, LockedPackage, format_date
from .mirrors import Mirrors
from .progress import Progress
from .recipe import ARCHITECTURES, KERNEL_PATTERN, PACKAGES, SKIP, SUITES
from .resolver import Candidate, Resolver, parse_index
from .signature import KEYRING_PACKAGE, read_certificates, verify_inrelease


@dataclass(frozen=True)
class Release:
    """What a suite's Release file says.

    Attributes:
        date: seconds since 1970.
        hashes: path below the suite to SHA-256 and size.
    """

    suite: str
    date: int
    hashes: dict[str, tuple[str, int]]


def parse_release(text: str, suite: str) -> Release:
    """Read a Release file.

    Raises:
        ImageError: damaged, or of another suite: a mirror must not pass one suite off as another.
    """
    try:
        fields = next(parse_paragraphs(text))
        rows = [line.split() for line in fields["SHA256"].splitlines() if line.strip()]
        date = int(parsedate_to_datetime(fields["Date"]).timestamp())
        hashes = {path: (sha256, int(size)) for sha256, size, path in rows}
    except (KeyError, ValueError, StopIteration) as error:
        raise ImageError(f"Release of {suite}: damaged: {error}") from error
    if fields.get("Codename") != suite:
        raise ImageError(f"Release of {suite}: it is of {fields.get('Codename')}")
    return Release(suite, date, hashes)


def resolve_lock(mirrors: Mirrors, progress: Progress, architectures: Iterable[str] = ARCHITECTURES) -> Lock:
    """Resolve the recipe anew against a mirror's present state."""
    progress.started("reading Debian's indexes", 0)
    try:
        sources = _read_suites(mirrors, progress)
        packages = {arch: _resolve(mirrors, sources, arch) for arch in architectures}
    finally:
        progress.finished()
    return Lock(format_date(max(release.date for _, release in sources)), packages)


def _read_suites(mirrors: Mirrors, progress: Progress) -> list[tuple[str, Release]]:
    signed: dict[tuple[str, str], bytes] = {}
    for archive, suite in SUITES:
        try:
            signed[archive, suite] = fetch_bytes([f"{base}/dists/{suite}/InRelease" for base in mirrors.of(archive)])
        except Gone as error:
            if (archive, suite) == SUITES[0]:
                raise
            progress.note(f"mirror has no {suite}: {error}")
    certificates = _fetch_certificates(mirrors, signed[SUITES[0]])
    return [
        (archive, parse_release(verify_inrelease(data, certificates, f"InRelease of {suite}").decode(), suite))
        for (archive, suite), data in signed.items()
    ]


def _fetch_certificates(mirrors: Mirrors, signed: bytes) -> list[bytes]:
    """Find the keyring package by an index not yet trusted; see `signature` for why that is sound."""
    body = signed.decode("utf-8", "replace").partition("\n\n")[2].partition("-----BEGIN PGP SIGNATURE")[0]
    release = parse_release(body, SUITES[0][1])
    for candidate in _fetch_index(mirrors, "debian", release, ARCHITECTURES[0]):
        if candidate.name == KEYRING_PACKAGE:
            return read_certificates(fetch_bytes([f"{base}/{candidate.filename}" for base in mirrors.main]))
    raise ImageError(f"the mirror has no {KEYRING_PACKAGE}")


def _fetch_index(mirrors: Mirrors, archive: str, release: Release, arch: str) -> list[Candidate]:
    path = f"main/binary-{arch}/Packages.xz"
    if path not in release.hashes:
        raise ImageError(f"Release of {release.suite} has no {path}")
    sha256, size = release.hashes[path]
    # By hash first: a mirror in the middle of an update has both the old and the new index under these names.
    names = (f"main/binary-{arch}/by-hash/SHA256/{sha256}", path)
    data = fetch_bytes([f"{base}/dists/{release.suite}/{name}" for base in mirrors.of(archive) for name in names])
    if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
        raise ImageError(f"{path} of {release.suite} is not the one that was signed", "try again, or another mirror")
    return list(parse_index(decompress(data, path).decode(), archive))


def _resolve(mirrors: Mirrors, sources: list[tuple[str, Release]], arch: str) -> tuple[LockedPackage, ...]:
    candidates = [c for archive, release in sources for c in _fetch_index(mirrors, archive, release, arch)]
    resolver = Resolver(candidates, SKIP)
    kernel = resolver.find_newest_name(KERNEL_PATTERN.format(arch=arch))
    chosen = resolver.resolve([*PACKAGES, kernel])
    return tuple(LockedPackage(c.name, c.version, c.archive, c.filename, c.size, c.sha256) for c in chosen.values())
