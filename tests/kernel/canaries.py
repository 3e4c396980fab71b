"""What an escape would touch: a tree of the host's, what the kernel was told, the engine's mount table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .conftest import Engine

CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")


def snapshot(root: Path) -> dict[str, Any]:
    """Everything about a tree but its access times."""
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, status.st_ino, status.st_mtime_ns, content)
    return found


def own_mounts(engine: Engine, root: Path) -> list[str]:
    """Lines of the engine's mount table about its own data or the tree; others come and go on a host."""
    lines = Path(f"/proc/{engine.supervisor_pid}/mountinfo").read_text().splitlines()
    return [line for line in lines if str(engine.data_root) in line or str(root) in line]


@contextmanager
def watched(engine: Engine, root: Path) -> Iterator[Path]:
    """Make a tree of the host's; in the end all must be as it was."""
    (root / "x/deep").mkdir(parents=True)
    (root / "passwd").write_text("host")
    (root / "x/deep/file").write_text("host")
    before = snapshot(root), CORE_PATTERN.read_text(), own_mounts(engine, root)
    yield root
    assert (snapshot(root), CORE_PATTERN.read_text(), own_mounts(engine, root)) == before


def attempt(engine: Engine, *command: str, host: dict[str, Any] | None = None, **config: Any) -> tuple[int, str]:
    """Run to the end if it starts at all; exit code (-1 for a start that was refused) and output or refusal."""
    container = engine.create(*command, host=host, **config)
    try:
        status, answer = engine.call("POST", f"/containers/{container}/start")
        if status >= 300:
            return -1, answer["message"]
        code = engine.ok("POST", f"/containers/{container}/wait")["StatusCode"]
        return code, engine.output(container)
    finally:
        engine.ok("DELETE", f"/containers/{container}", force=1, v=1)
