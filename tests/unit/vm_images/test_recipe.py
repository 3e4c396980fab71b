"""The lists of what stays and what goes, against what is used."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from atoll_images import recipe
from atoll_images.busybox import read_applets
from atoll_images.errors import ImageError
from atoll_images.kernel_modules import RUNTIME
from atoll_images.prune import is_kept_module

AGENT = Path(__file__).parents[3] / "guest_agent"


def imported_modules() -> dict[str, Path]:
    """First parts of all modules that the agent imports, with a file that does."""
    found: dict[str, Path] = {}
    for path in AGENT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= dict.fromkeys((alias.name.partition(".")[0] for alias in node.names), path)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found[node.module.partition(".")[0]] = path
    return found


def test_nothing_the_agent_imports_is_pruned() -> None:
    modules = imported_modules()
    assert len(modules) > 20
    pruned = {name: path for name, path in modules.items() if not is_kept_module(f"{name}.py")}
    assert not pruned
    # Where the agent runs on a host, `backports.zstd` stands in for the guest's `zstandard`.
    known = sys.stdlib_module_names | {"atoll_agent", "zstandard", "backports"}
    assert not {name: path for name, path in modules.items() if name not in known}


def test_the_modules_that_the_agent_loads_are_shipped() -> None:
    source = AGENT / "atoll_agent/boot/modules.py"
    assignments = [node for node in ast.parse(source.read_text("utf-8")).body if isinstance(node, ast.Assign)]
    loaded = {
        name for node in assignments if isinstance(node.value, ast.Tuple) for name in ast.literal_eval(node.value)
    }
    assert "overlay" in loaded
    assert loaded == set(RUNTIME)


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("os.py", True), ("json/decoder.py", True), ("zstandard/__init__.py", True), ("idlelib/run.py", False),
        ("turtle.py", False), ("lib-dynload/_ssl.cpython-313-x86_64-linux-gnu.so", True),
        ("lib-dynload/_curses.cpython-313-x86_64-linux-gnu.so", False), ("encodings/utf_8.py", True),
        ("encodings/cp1252.py", False), ("LICENSE.txt", False), ("__hello__.py", False), ("__future__.py", True),
    ],
)  # fmt: skip
def test_standard_library(path: str, kept: bool) -> None:
    assert is_kept_module(path) is kept


def test_lists_do_not_contradict_each_other() -> None:
    assert not set(recipe.PACKAGES) & recipe.SKIP


@pytest.mark.parametrize("binary", [b"", b"\0[\0[[\0acpid\0", b"[\0[[\0only\0few\0sh\0\0"])
def test_not_busybox(binary: bytes) -> None:
    with pytest.raises(ImageError, match="busybox"):
        read_applets(binary)
