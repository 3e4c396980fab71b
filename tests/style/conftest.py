"""Fixtures of the style tests: the sources as files and as syntax trees."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = {"atoll": ROOT / "host", "atoll_agent": ROOT / "guest_agent", "atoll_images": ROOT / "vm_images"}


@dataclass(frozen=True)
class Module:
    """One source file.

    Attributes:
        name: dotted, as it is imported.
    """

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        """What is in it."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text, str(self.path))

    @cached_property
    def imports(self) -> set[str]:
        """Names of the modules it imports absolutely, wherever in the file."""
        names: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module)
        return names


def _load(package: str) -> list[Module]:
    root = CODE[package]
    files = sorted((root / package).rglob("*.py"))
    return [
        Module(".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"), file) for file in files
    ]


@pytest.fixture(scope="session")
def host_modules() -> list[Module]:
    """The host's code."""
    return _load("atoll")


@pytest.fixture(scope="session")
def all_modules() -> list[Module]:
    """All code that is shipped."""
    return [module for package in CODE for module in _load(package)]


@pytest.fixture(scope="session")
def root() -> Path:
    """Where the project is."""
    return ROOT
