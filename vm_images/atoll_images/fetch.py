"""Downloads: several at once, resumed where they broke off, and never under their name before their hash is right."""

from __future__ import annotations

import errno
import hashlib
import http.client
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .errors import ImageError
from .progress import Progress

_PARALLEL = 4
_CHUNK = 1 << 16
_ATTEMPTS = 4
_TIMEOUT_S = 20.0
_CONNECTION_ATTEMPTS = 2
_BACKOFF_S = 0.5
_GONE = (403, 404, 410)
_LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""Errors of the cache's disk, which no other mirror will mend."""


class Gone(ImageError):
    """No address has the file (any more)."""


@dataclass(frozen=True)
class Wanted:
    """A file to fetch.

    Attributes:
        name: its name in the cache.
        addresses: where it may be, tried in order.
    """

    name: str
    size: int
    sha256: str
    addresses: tuple[str, ...]


class Fetcher:
    """Fetches files into a cache directory."""

    def __init__(self, cache: Path, progress: Progress, backoff_s: float = _BACKOFF_S) -> None:
        self._cache = cache
        self._progress = progress
        self._backoff_s = backoff_s
        self._stop = threading.Event()
        self._unreachable: dict[str, str] = {}

    def fetch_all(self, files: Sequence[Wanted]) -> list[Wanted]:
        """Fetch what is not in the cache yet; returns those that are gone from every address.

        Raises:
            ImageError: a file could not be had for another reason, such as a broken network.
        """
        make_directory(self._cache)
        missing = [file for file in files if not self._is_cached(file)]
        if not missing:
            return []
        self._stop.clear()
        self._progress.started(f"fetching {len(missing)} packages", sum(file.size for file in missing))
        try:
            with ThreadPoolExecutor(_PARALLEL) as pool:
                try:
                    results = list(pool.map(self._fetch_or_gone, missing))
                except BaseException:
                    self._stop.set()
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        finally:
            self._progress.finished()
        return [file for file, present in zip(missing, results, strict=True) if not present]

    def path(self, file: Wanted) -> Path:
        """Where a file is in the cache."""
        return self._cache / file.name

    def _is_cached(self, file: Wanted) -> bool:
        path = self.path(file)
        return path.is_file() and path.stat().st_size == file.size and hash_file(path) == file.sha256

    def _fetch_or_gone(self, file: Wanted) -> bool:
        try:
            self._fetch(file)
        except Gone:
            return False
        return True

    def _fetch(self, file: Wanted) -> None:
        """Try every address. If only one of them answers, and it has not the file, then the file is gone: behind a
        firewall the machine's own mirror may be all that can be reached, and it moves on like any other."""
        failure: ImageError | None = None
        gone = False
        for address in file.addresses:
            try:
                self._fetch_from(address, file)
                return
            except Gone:
                gone = True
            except ImageError as error:
                failure = failure or error
        raise Gone(f"no mirror has {file.name}") if gone or failure is None else failure

    def _fetch_from(self, address: str, file: Wanted) -> None:
        part = self._cache / f"{file.name}.part"
        host = urlsplit(address).netloc
        failure = self._unreachable.get(host, "")
        for attempt in range(0 if failure else _ATTEMPTS):
            try:
                self._download(address, file, part)
                if self._accept(part, file):
                    return
                failure = "its hash is not the one expected"
            except urllib.error.HTTPError as error:
                error.close()
                if error.code in _GONE:
                    raise Gone(f"{address}: {error.code}") from error
                failure = f"{error.code} {error.reason}"
            except urllib.error.URLError as error:
                failure = str(error.reason)
                if attempt + 1 >= _CONNECTION_ATTEMPTS:
                    # What nobody answers is not asked again for the next file.
                    self._unreachable[host] = failure
                    break
            except (OSError, http.client.HTTPException) as error:
                if self._is_cached(file):
                    return  # another process was quicker
                if isinstance(error, OSError) and error.errno in _LOCAL:
                    raise ImageError(f"cannot write to {self._cache}: {error.strerror}", "is the disk full?") from error
                failure = str(error)
            if self._stop.wait(self._backoff_s * 2**attempt):
                break
        raise ImageError(f"cannot fetch {address}: {failure}", "check the network, or name another with --mirror")

    def _accept(self, part: Path, file: Wanted) -> bool:
        """Give a download its name if it is the right one, and throw it away if not."""
        if hash_file(part) == file.sha256:
            part.replace(self.path(file))
            return True
        self._progress.advanced(-part.stat().st_size)
        part.unlink()
        return False

    def _download(self, address: str, file: Wanted, part: Path) -> None:
        have = part.stat().st_size if part.exists() else 0
        if have > file.size:
            part.unlink()
            have = 0
        if have == file.size:
            return
        request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            resumed = have and response.status == 206
            self._progress.advanced(have if resumed else 0)
            with part.open("ab" if resumed else "wb") as out:
                self._copy(response, out.write, file.size - (have if resumed else 0))

    def _copy(self, response: http.client.HTTPResponse, write: Callable[[bytes], int], limit: int) -> None:
        done = 0
        while chunk := response.read(_CHUNK):
            done += len(chunk)
            if done > limit:
                raise http.client.HTTPException("more bytes than expected")
            write(chunk)
            self._progress.advanced(len(chunk))
            if self._stop.is_set():
                raise http.client.HTTPException("stopped")
        if done < limit:
            raise http.client.IncompleteRead(b"", limit - done)


def fetch_bytes(addresses: Sequence[str], limit: int = 1 << 28) -> bytes:
    """Fetch a small file from the first address that has it, with no hash to compare: the caller verifies it."""
    failure = ""
    for address in addresses:
        for attempt in range(_ATTEMPTS):
            try:
                with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as response:
                    data: bytes = response.read(limit)
                    return data
            except urllib.error.HTTPError as error:
                error.close()
                failure = f"{address}: {error.code} {error.reason}"
                if error.code in _GONE:
                    break
            except (OSError, http.client.HTTPException) as error:
                failure = f"{address}: {error}"
                if isinstance(error, urllib.error.URLError) and attempt + 1 >= _CONNECTION_ATTEMPTS:
                    break
            time.sleep(_BACKOFF_S * 2**attempt)
    raise Gone(f"cannot fetch {failure}", "check the network, or name another mirror")


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def make_directory(path: Path) -> None:
    """Make a directory and those above it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"cannot make {path}: {error.strerror}") from error
