"""Getting the packages a lock names, even when the mirror no longer has them.

In order: the cache, every mirror, Debian's snapshot archive as of the lock's day, and at last the mirror's present
indexes, verified by signature, which gives a new lock. The reader is told what moved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from .errors import ImageError
from .fetch import Fetcher, Wanted
from .indexes import resolve_lock
from .lock import Lock, LockedPackage, describe_changes
from .mirrors import Mirrors
from .progress import Progress


def fetch_packages(
    lock: Lock, arch: str, cache: Path, mirrors: Mirrors, progress: Progress
) -> tuple[Lock, dict[str, bytes]]:
    """Fetch all packages of an architecture.

    Returns:
        The lock that was used in the end, and the packages by name.
    """
    fetcher = Fetcher(cache, progress)
    gone = _fetch(fetcher, lock.of(arch), mirrors)
    gone = _fetch_from_snapshot(fetcher, lock, gone, mirrors, progress)
    if gone:
        lock = _resolve_anew(lock, arch, gone, mirrors, progress)
        still = _fetch(fetcher, lock.of(arch), mirrors)
        if still:
            names = ", ".join(package.basename for package in still)
            raise ImageError(f"the mirror's index names packages it does not have: {names}", "try another mirror")
    return lock, {package.name: _read(cache / package.basename, package) for package in lock.of(arch)}


def _fetch(fetcher: Fetcher, packages: Sequence[LockedPackage], mirrors: Mirrors) -> list[LockedPackage]:
    wanted = [_wanted(package, mirrors.addresses(package)) for package in packages]
    gone = {file.name for file in fetcher.fetch_all(wanted)}
    return [package for package in packages if package.basename in gone]


def _fetch_from_snapshot(
    fetcher: Fetcher, lock: Lock, gone: list[LockedPackage], mirrors: Mirrors, progress: Progress
) -> list[LockedPackage]:
    """Try the snapshot archive; returns what it has not either. That it cannot be reached is no reason to give up."""
    if not gone or not mirrors.snapshot:
        return gone
    progress.note(f"mirror no longer has {', '.join(p.basename for p in gone)}: asking Debian's snapshot archive")
    try:
        wanted = [_wanted(package, [mirrors.snapshot_address(package, lock)]) for package in gone]
        missing = {file.name for file in fetcher.fetch_all(wanted)}
    except ImageError as error:
        progress.note(f"snapshot archive: {error.message}")
        return gone
    return [package for package in gone if package.basename in missing]


def _resolve_anew(lock: Lock, arch: str, gone: list[LockedPackage], mirrors: Mirrors, progress: Progress) -> Lock:
    progress.note("resolving anew against the mirror's signed indexes")
    try:
        resolved = resolve_lock(mirrors, progress, [arch])
    except ImageError as error:
        names = ", ".join(package.basename for package in gone)
        raise ImageError(f"no mirror has {names}, and resolving anew failed: {error.message}", error.hint) from error
    if resolved.timestamp < lock.timestamp:
        # An old, once validly signed index would bring back what has been fixed since.
        raise ImageError(
            f"the mirror's index is of {resolved.date}, older than the lock's ({lock.date})", "try another mirror"
        )
    for change in describe_changes(lock, resolved, arch):
        progress.note(f"mirror has moved: {change}")
    return resolved


def _wanted(package: LockedPackage, addresses: Sequence[str]) -> Wanted:
    return Wanted(package.basename, package.size, package.sha256, tuple(addresses))


def _read(path: Path, package: LockedPackage) -> bytes:
    """Read a package and compare it once more: what is unpacked is what was checked, whatever happens to the cache."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) != package.size or hashlib.sha256(data).hexdigest() != package.sha256:
        raise ImageError(f"{path} is not the package that the lock file names", "remove it and try again")
    return data
