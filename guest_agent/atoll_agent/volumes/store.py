"""Local volumes on disk: `volumes/<name>/_data` with `volume.json` beside it.

A volume gets its name by a rename when both are on disk, and loses it by a rename before anything is deleted, so that
neither a crash nor a power cut leaves half of one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..api.errors import conflict, invalid, not_found
from ..disk import sync_directory, write_json
from ..linux.trees import remove_path
from ..runtime.log_file import format_time
from .options import check_options

log = logging.getLogger(__name__)
ANONYMOUS = "com.docker.volume.anonymous"
NEVER = "0001-01-01T00:00:00Z"
RECORD, DATA, COPYING = "volume.json", "_data", "copying"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)


@dataclass(frozen=True)
class Volume:
    """A volume.

    Attributes:
        name: its name.
        created: RFC 3339.
        labels: its labels; None where none were given.
        options: what it was made with; None where nothing was given.
        path: the directory that is mounted.
    """

    name: str
    created: str
    labels: dict[str, str] | None
    options: dict[str, str] | None
    path: Path

    @property
    def anonymous(self) -> bool:
        """Whether the engine chose its name."""
        return ANONYMOUS in (self.labels or {})

    def describe(self) -> dict[str, Any]:
        """In Docker's shape."""
        return {
            "CreatedAt": self.created,
            "Driver": "local",
            "Labels": self.labels,
            "Mountpoint": str(self.path),
            "Name": self.name,
            "Options": self.options,
            "Scope": "local",
        }


def check_name(name: str) -> None:
    """Refuse what is no name of a volume.

    Raises:
        AgentError: in Docker's words.
    """
    if len(name) == 1:
        raise invalid("volume name is too short, names should be at least two alphanumeric characters")
    if len(name) > 255:
        raise invalid("volume name is too long, names should be at most 255 characters")
    if not _NAME.fullmatch(name):
        raise invalid(
            f'"{name[:255]}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are '
            "allowed. If you intended to pass a host directory, use absolute path"
        )


class VolumeStore:
    """All volumes of one engine, and who holds each. Thread-safe."""

    def __init__(self, data_root: Path) -> None:
        self._root = data_root / "volumes"
        self._root.mkdir(mode=0o701, exist_ok=True, parents=True)
        self._lock = threading.Lock()
        self._holders: dict[str, set[str]] = {}
        for leftover in [*self._root.glob(".removing-*"), *self._root.glob(".making-*")]:
            with contextlib.suppress(OSError):  # what cannot go now must not keep the engine from starting
                remove_path(leftover)
        found = [self._load(path) for path in sorted(self._root.iterdir()) if _NAME.fullmatch(path.name)]
        self._volumes = {volume.name: volume for volume in found}

    def path(self, name: str) -> Path:
        """The directory that is mounted."""
        return self._root / name / DATA

    # -- reading -----------------------------------------------------------------------------

    def _load(self, directory: Path) -> Volume:
        """Read a volume; a record that cannot be read is set aside, since the data is what counts."""
        if (directory / COPYING).exists():
            self._undo_copy(directory)
        try:
            labels, options, created = _parse(json.loads((directory / RECORD).read_bytes()))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.error(
                "the record of volume %s cannot be read (%r); its data is kept, its options are lost",
                directory.name,
                error,
            )
            with contextlib.suppress(OSError):
                (directory / RECORD).rename(directory / f"{RECORD}.broken")
            labels, options, created = None, None, NEVER
            (directory / DATA).mkdir(mode=0o755, exist_ok=True)
            self._write(directory, labels, options, created)
        return Volume(directory.name, created, labels, options, directory / DATA)

    @staticmethod
    def _undo_copy(directory: Path) -> None:
        """The engine ended while it filled this volume from an image: it counts as new."""
        for path in (directory / DATA).iterdir():
            remove_path(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (directory / COPYING).unlink()

    def find(self, name: str) -> Volume | None:
        """By name; None where there is none."""
        with self._lock:
            return self._volumes.get(name)

    def get(self, name: str) -> Volume:
        """By name.

        Raises:
            AgentError: there is none.
        """
        found = self.find(name)
        if found is None:
            raise not_found(f"get {name[:255]}: no such volume")
        return found

    def all(self) -> list[Volume]:
        """All volumes by name."""
        with self._lock:
            return [self._volumes[name] for name in sorted(self._volumes)]

    # -- making ------------------------------------------------------------------------------

    def ensure(
        self,
        name: str,
        labels: dict[str, str] | None = None,
        options: dict[str, str] | None = None,
        *,
        holder: str = "",
    ) -> tuple[Volume, bool]:
        """Find a volume or make it; whether it is new. One that exists stays as it is, as Docker has it.

        Arguments:
            name: "" for one of the engine's choice.
            holder: the container that will use it, from now on.

        Raises:
            AgentError: an invalid name or option.
        """
        if not name:
            name, labels = secrets.token_hex(32), {**(labels or {}), ANONYMOUS: ""}
        with self._lock:
            volume, new = self._volumes.get(name), False
            if volume is None:
                check_name(name)
                check_options(options or {})
                volume, new = self._make(name, labels, options), True
            if holder:
                self._holders.setdefault(name, set()).add(holder)
            return volume, new

    def _make(self, name: str, labels: dict[str, str] | None, options: dict[str, str] | None) -> Volume:
        created = format_time(time.time_ns() // 10**9 * 10**9)
        staging = self._root / f".making-{secrets.token_hex(8)}"
        staging.mkdir(mode=0o701)
        try:
            (staging / DATA).mkdir(mode=0o755)
            (staging / DATA).chmod(0o755)
            self._write(staging, labels, options, created)
            staging.rename(self._root / name)
        except BaseException:
            with contextlib.suppress(OSError):
                remove_path(staging)
            raise
        sync_directory(self._root)
        volume = Volume(name, created, labels, options, self.path(name))
        self._volumes[name] = volume
        return volume

    @staticmethod
    def _write(directory: Path, labels: dict[str, str] | None, options: dict[str, str] | None, created: str) -> None:
        write_json(directory / RECORD, {"labels": labels, "options": options, "created": created})

    @contextlib.contextmanager
    def filling(self, volume: Volume) -> Iterator[None]:
        """While an empty volume is being filled from an image: should the engine end meanwhile, it is emptied again.

        Only for a directory of the engine's own: what is mounted there, or was in it before, is somebody's work.
        """
        mark = volume.path.parent / COPYING
        mark.touch()
        sync_directory(mark.parent)
        try:
            yield
        finally:
            mark.unlink()

    # -- holding and removing ----------------------------------------------------------------

    def hold(self, name: str, holder: str) -> None:
        """Note that a container uses a volume."""
        with self._lock:
            self._holders.setdefault(name, set()).add(holder)

    def release(self, holder: str) -> None:
        """Note that a container is gone."""
        with self._lock:
            for name in [name for name, holders in self._holders.items() if holder in holders]:
                self._holders[name].discard(holder)
                if not self._holders[name]:
                    del self._holders[name]

    def holders(self, name: str) -> list[str]:
        """Ids of the containers that use a volume."""
        with self._lock:
            return sorted(self._holders.get(name, ()))

    def remove(self, name: str) -> Volume:
        """Remove a volume that no container uses.

        Raises:
            AgentError: in use, or there is none.
        """
        with self._lock:
            volume = self._volumes.get(name)
            if volume is None:
                raise not_found(f"get {name[:255]}: no such volume")
            if users := sorted(self._holders.get(name, ())):
                raise conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
            doomed = self._root / f".removing-{secrets.token_hex(8)}"
            (self._root / name).rename(doomed)
            del self._volumes[name]
        remove_path(doomed)
        return volume


def _parse(record: Any) -> tuple[dict[str, str] | None, dict[str, str] | None, str]:
    """Labels, options and time of a record.

    Raises:
        ValueError: something else than that is in it.
    """
    labels, options, created = record.get("labels"), record.get("options"), record["created"]
    for texts in (labels, options):
        if texts is not None and not (
            isinstance(texts, dict) and all(isinstance(value, str) for value in texts.values())
        ):
            raise ValueError("texts are expected")
    if not isinstance(created, str):
        raise ValueError("a time is expected")
    return labels, options, created
