"""Local volumes on disk: `volumes/<name>/_data` with `volume.json` beside it."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from ..api.errors import conflict, invalid, not_found
from ..disk import write_json
from ..runtime.log_file import format_time

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and len(text) <= 255


class VolumeStore:
    """All volumes of one engine. Thread-safe."""

    def __init__(self, data_root: Path) -> None:
        self._root = data_root / "volumes"
        self._root.mkdir(mode=0o701, exist_ok=True, parents=True)
        self._lock = threading.Lock()
        for leftover in self._root.glob(".*.removing"):
            shutil.rmtree(leftover, ignore_errors=True)

    def path(self, name: str) -> Path:
        """The directory that is mounted."""
        return self._root / name / "_data"

    def ensure(self, name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
        """Find a volume or make it.

        Raises:
            AgentError: an invalid name.
        """
        if not _is_name(name):
            raise invalid(
                f'create {name[:80]}: "{name[:80]}" includes invalid characters for a local volume name, only '
                '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
            )
        with self._lock:
            if not (self._root / name / "volume.json").exists():
                self.path(name).mkdir(parents=True, exist_ok=True, mode=0o755)
                record = {"labels": labels or {}, "created": format_time(time.time_ns() // 10**9 * 10**9)}
                write_json(self._root / name / "volume.json", record)
            return self._describe(name)

    def _describe(self, name: str) -> dict[str, Any]:
        try:
            record = json.loads((self._root / name / "volume.json").read_bytes())
        except ValueError:
            record = None
        if not isinstance(record, dict):  # its data counts, and is whole
            record = {}
        labels = record.get("labels")
        return {
            "Name": name,
            "Driver": "local",
            "Mountpoint": str(self.path(name)),
            "CreatedAt": str(record.get("created") or "0001-01-01T00:00:00Z"),
            "Labels": labels if labels and isinstance(labels, dict) else None,
            "Options": None,
            "Scope": "local",
        }

    def find(self, name: str) -> dict[str, Any]:
        """Describe a volume, in Docker's shape.

        Raises:
            AgentError: there is none.
        """
        if not _is_name(name) or not (self._root / name / "volume.json").exists():
            raise not_found(f"get {name}: no such volume")
        return self._describe(name)

    def list_volumes(self) -> list[dict[str, Any]]:
        """All volumes by name."""
        found = sorted(path.parent.name for path in self._root.glob("*/volume.json"))
        return [self._describe(name) for name in found if _is_name(name)]

    def remove(self, name: str, users: list[str], *, force: bool = False) -> None:
        """Remove a volume that no container uses.

        Raises:
            AgentError: in use, or there is none.
        """
        if users:
            raise conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
        try:
            self.find(name)
        except Exception:
            if force:
                return
            raise
        with self._lock:
            doomed = self._root / f".{name}.removing"
            (self._root / name).rename(doomed)
            shutil.rmtree(doomed)
