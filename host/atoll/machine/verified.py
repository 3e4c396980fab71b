"""Whether an image is what was built, told without reading it at every start.

Comparing an image with its hashes reads all of it. So what was found right is noted, each file with its size and time
of change; only when one of them is another is everything read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from ..paths import cache_directory
from ..system.files import write_whole


def check_image(image: Path) -> None:
    """Compare an image with its manifest.

    Raises:
        ImageError: it is not there, truncated or tampered with.
    """
    from atoll_images.manifest import load_manifest

    manifest = load_manifest(image, verify=False)
    found = {name: [entry.sha256, *_look(image / name)] for name, entry in manifest.files.items()}
    note = _note_of(image)
    if _read(note) == found:
        return
    load_manifest(image, verify=True)
    with contextlib.suppress(OSError):  # then it is read once more at the next start
        note.parent.mkdir(parents=True, exist_ok=True)
        write_whole(note, json.dumps(found).encode())


def _look(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _note_of(image: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(image.absolute())).hexdigest()
    return cache_directory() / "verified" / f"{digest[:32]}.json"


def _read(note: Path) -> object:
    try:
        return json.loads(note.read_bytes())
    except (OSError, ValueError):
        return None
