"""The mounts a container sees, against golden files: `ATOLL_UPDATE_GOLDEN=1` writes them anew."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import Engine

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "mountinfo"
KERNELS_OWN = re.compile(
    r"/proc/(acpi|asound|interrupts|keys|latency_stats|sched_debug|scsi|timer_list|timer_stats|bus|fs|irq|kcore) "
    r"|/sys/(devices/virtual/powercap|firmware) |/sys/fs/cgroup "
)
"""What a kernel may have or not."""


def normalize(text: str, engine: Engine, container: str) -> list[str]:
    """Target, flags, propagation and file system of each mount; what lies on the host's disk shows from where."""
    rows = []
    for line in text.replace("\r", "").splitlines():
        head, tail = line.split(" - ")
        fields, (kind, source, options) = head.split(), tail.split()
        root, target, flags, optional = fields[3], fields[4], fields[5], fields[6:]
        root = root.replace(str(engine.data_root), "DATA").replace(container, "ID")
        if kind == "overlay" or source.startswith("/dev/"):
            kind, source, options = kind.replace("ext4", "disk").replace("xfs", "disk"), "", ""
        rows.append(" ".join([target, root, flags, *optional, "-", kind, source, options]).rstrip())
    return sorted(row for row in rows if not KERNELS_OWN.match(row))


@pytest.mark.parametrize(
    ("name", "host", "config"),
    [
        ("default", {}, {}),
        ("read-only", {"ReadonlyRootfs": True}, {}),
        ("privileged", {"Privileged": True}, {}),
        ("terminal", {}, {"Tty": True}),
        ("tmpfs", {"Tmpfs": {"/t": "size=1m,exec"}, "ShmSize": 1 << 20}, {}),
        ("open-paths", {"SecurityOpt": ["systempaths=unconfined"]}, {}),
    ],
)
def test_a_containers_mounts(engine: Engine, name: str, host: dict[str, Any], config: dict[str, Any]) -> None:
    container = engine.create("cat", "/proc/self/mountinfo", host=host, **config)
    engine.ok("POST", f"/containers/{container}/start")
    engine.ok("POST", f"/containers/{container}/wait")
    if config.get("Tty"):
        text = engine.ok("GET", f"/containers/{container}/logs", stdout=1).decode()
    else:
        text = engine.output(container)
    engine.ok("DELETE", f"/containers/{container}")
    found = normalize(text, engine, container)
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("ATOLL_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(found) + "\n")
    assert found == path.read_text().splitlines()
    assert not any("shared:" in row or "master:" in row for row in found)
