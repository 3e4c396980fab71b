"""Builds the machine's image, or finds it built; says what it weighs. Run by the other programs inside `.venv`."""

from __future__ import annotations

import sys

from atoll.config import host_architecture
from atoll.errors import HostError
from atoll.machine.images import ensure_image
from atoll_images.progress import Lines


def main() -> int:
    """Build; returns the exit code."""
    try:
        directory = ensure_image(host_architecture(), lambda text: print(f"    {text}", flush=True), Lines())
    except HostError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 1
    for file in sorted(directory.iterdir()):
        print(f"    {file.name:<20}{file.stat().st_size / 1e6:8.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
