"""Where everything of Atoll lies on this computer. `ATOLL_HOME` moves all of it."""

from __future__ import annotations

import os
from pathlib import Path

from .system.directories import cache_directory as system_cache
from .system.directories import state_directory


def home() -> Path:
    """The root of all state."""
    given = os.environ.get("ATOLL_HOME")
    return Path(given).absolute() if given else state_directory()


def machines_directory() -> Path:
    """One directory per machine."""
    return home() / "machines"


def images_directory() -> Path:
    """One directory per bootable image."""
    return home() / "images"


def cache_directory() -> Path:
    """What can be made again."""
    return home() / "cache" if os.environ.get("ATOLL_HOME") else system_cache()
