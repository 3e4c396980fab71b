"""Compiled seccomp filters, kept as files."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("filters are compiled on Linux", allow_module_level=True)

from atoll_agent.engine import confinement


def test_containers_that_start_together_compile_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by two commands that started a machine at once: both wrote the same file, and one found it gone."""
    meeting, calls = threading.Barrier(2), []

    def compile_profile(profile: dict[str, Any], capabilities: int) -> bytes:
        calls.append(capabilities)
        with suppress(threading.BrokenBarrierError):
            meeting.wait(0.5)  # a second caller would come
        return b"compiled"

    monkeypatch.setattr(confinement, "compile_profile", compile_profile)
    cache = confinement.FilterCache(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda number: cache.path_for({"defaultAction": "SCMP_ACT_ALLOW"}, 0), range(2))
    assert first == second
    assert Path(first).read_bytes() == b"compiled"
    assert calls == [0]
