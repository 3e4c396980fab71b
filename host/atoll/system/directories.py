"""Where a user's files belong on each operating system."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def state_directory(platform: str = sys.platform) -> Path:
    """Where state is kept: machines, their disks and keys."""
    home = Path.home()
    if platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "atoll"
    if platform == "darwin":
        return home / "Library" / "Application Support" / "atoll"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "atoll"


def cache_directory(platform: str = sys.platform) -> Path:
    """Where things are kept that can be made again: downloads, proofs of accelerators."""
    home = Path.home()
    if platform == "win32":
        return state_directory(platform) / "cache"
    if platform == "darwin":
        return home / "Library" / "Caches" / "atoll"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "atoll"
