"""Habits that a reader relies on."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "stuff"}
LOOK_AGAIN_LINES = 450
PRINTING = {"print", "echo", "secho"}
RENDER = "atoll.cli.render"


def test_no_module_is_a_drawer_for_odds_and_ends(all_modules: list) -> None:  # type: ignore[type-arg]
    assert not [module.name for module in all_modules if FORBIDDEN_NAMES & set(module.name.split("."))]


def test_only_render_prints(host_modules: list) -> None:  # type: ignore[type-arg]
    found = []
    for module in host_modules:
        if module.name == RENDER:
            continue
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            if name in PRINTING or re.search(r"sys\.std(out|err)(\.buffer)?\.write", ast.unparse(function)):
                found.append(f"{module.name}:{node.lineno}")
    assert not found


def test_modules_stay_small_enough_to_read(all_modules: list) -> None:  # type: ignore[type-arg]
    assert not {m.name: n for m in all_modules if (n := m.text.count("\n")) > LOOK_AGAIN_LINES}


def test_every_module_says_what_it_is(all_modules: list) -> None:  # type: ignore[type-arg]
    assert not [module.name for module in all_modules if module.text.strip() and not ast.get_docstring(module.tree)]


def test_public_functions_and_classes_have_docstrings(all_modules: list) -> None:  # type: ignore[type-arg]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    bare = [
        f"{module.name}.{node.name}"
        for module in all_modules
        for node in module.tree.body
        if isinstance(node, kinds) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not bare


def test_no_path_of_a_developers_machine(root: Path) -> None:
    pattern = re.compile(r"(?<![\w.])/(home/(?!user\b)\w+|Users/(?!\w*user)\w+|opt/pypi|work/(main|shared))\b")
    files = [
        file for folder in ("host", "guest_agent", "vm_images", "ci", "tests") for file in (root / folder).rglob("*.py")
    ]
    found = [
        f"{file.relative_to(root)}: {match[0]}"
        for file in [*files, *root.glob("*.md"), root / "pyproject.toml"]
        if file != Path(__file__).resolve()
        for match in [pattern.search(file.read_text(encoding="utf-8"))]
        if match
    ]
    assert not found


def test_tests_do_not_sleep_for_luck(root: Path) -> None:
    """A sleep in a test is either too short for a slow machine or too long for all others: wait for a condition."""
    found = []
    for file in (root / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) in ("time.sleep", "sleep")
                and not _is_in_wait(file, node)
            ):
                found.append(f"{file.relative_to(root)}:{node.lineno}")
    assert not found


def _is_in_wait(file: Path, call: ast.Call) -> bool:
    """Polling with a deadline needs a pause between two looks; such functions are named `wait_...`."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return any(
        isinstance(node, ast.FunctionDef)
        and "wait" in node.name
        and node.lineno <= call.lineno <= (node.end_lineno or node.lineno)
        for node in ast.walk(tree)
    )
