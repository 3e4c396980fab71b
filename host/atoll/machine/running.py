"""Where a running machine's engine answers, at the price of one small file.

Every command asks this first, and `lifecycle` with all it imports takes longer to load than a container to run. So
nothing is proved here: a keeper that was killed leaves its file behind. Whoever gets an endpoint connects to it, and
goes to `lifecycle.ensure_running` when nobody answers.
"""

from __future__ import annotations

import json

from ..paths import machines_directory
from .endpoint import Endpoint


def find_endpoint(name: str) -> Endpoint | None:
    """What the machine's keeper told last; None when it does not run."""
    try:
        state = json.loads((machines_directory() / name / "keeper.json").read_bytes())
        if state["status"] == "running":
            return Endpoint(*state["endpoint"])
    except (OSError, ValueError, TypeError, KeyError):
        pass  # no such machine, stopped, or written by another version: all for lifecycle
    return None
