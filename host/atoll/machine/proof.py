"""Which accelerator works: proved by starting the machine with it, remembered with its reason.

Asking is not enough. /dev/kvm may exist, open and answer every question, and still abort QEMU or leave the guest
hanging before its first instruction. So the candidates are tried in order with the real command line; the first whose
guest gives a sign of life wins, and what was found is kept for as long as everything it depends on stays the same.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..paths import cache_directory
from ..system.accelerator import list_candidates
from ..system.files import write_whole
from ..system.processes import boot_id

MAX_REMEMBERED = 64
DRY_RUN_S = 10.0
"""For the monitor to answer: QEMU has made its virtual machine by then."""

SIGN_OF_LIFE_S = {"tcg": 90.0, "kvm": 7.0, "hvf": 10.0, "whpx": 15.0}
"""For the agent's channel to open. Hardware boots in a second or two; a guest that hangs does so for ever."""


@dataclass(frozen=True)
class Verdict:
    """What is known of the accelerators of one computer with one QEMU and kernel.

    Attributes:
        accelerator: the one that works.
        rejected: (accelerator, reason) of those before it.
    """

    accelerator: str
    rejected: tuple[tuple[str, str], ...] = ()

    @property
    def reason(self) -> str:
        """Why this one, for people."""
        if not self.rejected:
            return f"{self.accelerator} works"
        return "; ".join(f"{name}: {why}" for name, why in self.rejected)


def plan_attempts(
    wish: str, guest: str, host: str, remembered: Verdict | None, platform: str | None = None
) -> tuple[list[str], list[tuple[str, str]]]:
    """The accelerators to try in order, and those that are out from the beginning, with the reason.

    Arguments:
        wish: `auto`, or the only one to try.
        remembered: an earlier verdict under the same conditions.
    """
    if wish != "auto":
        return [wish], []
    if remembered:
        return [remembered.accelerator], list(remembered.rejected)
    candidates = list_candidates(guest, host, platform) if platform else list_candidates(guest, host)
    return [name for name, why in candidates if not why], [(name, why) for name, why in candidates if why]


def conditions_key(qemu_identity: str, kernel: Path, arch: str) -> str:
    """What a verdict depends on: this boot of the computer, QEMU, the kernel and the guest's architecture."""
    status = kernel.stat()
    text = "\0".join([boot_id(), qemu_identity, str(kernel), str(status.st_size), str(status.st_mtime_ns), arch])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _file() -> Path:
    return cache_directory() / "accelerators.json"


def load_verdict(key: str) -> Verdict | None:
    """An earlier verdict under these conditions; None when there is none."""
    try:
        raw = _load_known()[key]
        verdict = Verdict(raw["accelerator"], tuple((str(a), str(b)) for a, b in raw["rejected"]))
    except (ValueError, KeyError, TypeError):
        return None
    return verdict if verdict.accelerator in SIGN_OF_LIFE_S else None


def _load_known() -> dict[str, Any]:
    """All verdicts; none where the file is missing or damaged."""
    try:
        known = json.loads(_file().read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def save_verdict(key: str, verdict: Verdict) -> None:
    """Remember a verdict."""
    known = _load_known()
    known.pop(key, None)
    known[key] = asdict(verdict)
    while len(known) > MAX_REMEMBERED:
        del known[next(iter(known))]
    _file().parent.mkdir(parents=True, exist_ok=True)
    write_whole(_file(), json.dumps(known, indent=1).encode(), mode=0o644)


def forget_verdict(key: str) -> None:
    """A remembered accelerator failed after all: prove anew next time."""
    known = _load_known()
    if known.pop(key, None) is not None:
        write_whole(_file(), json.dumps(known, indent=1).encode(), mode=0o644)
