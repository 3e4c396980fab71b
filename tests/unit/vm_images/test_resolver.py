"""Versions, dependencies and the lock that comes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atoll_images import recipe
from atoll_images.deb822 import compare_versions, parse_paragraphs
from atoll_images.errors import ImageError
from atoll_images.lock import describe_changes, format_lock, load_lock, parse_lock
from atoll_images.resolver import Resolver, parse_index, parse_relations


def index(text: str) -> str:
    common = "Filename: pool/x.deb\nSize: 1\nSHA256: " + "0" * 64 + "\n"
    return "\n".join(f"{paragraph.strip()}\n{common}" for paragraph in text.strip().split("\n\n"))


INDEX = index("""
Package: app
Version: 1.0
Depends: liba (>= 2), libmissing | libb:any, virtual, docs

Package: app
Version: 1.0~rc1

Package: liba
Version: 2:1.0

Package: libb
Version: 1
Pre-Depends: liba (>> 1)

Package: provider
Version: 1
Provides: virtual (= 3)

Package: kernel-6.12.9-cloud
Version: 6.12.9-1

Package: kernel-6.12.10-cloud
Version: 6.12.10-1
""")


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.0~rc1", "1.0"), ("1.0", "1.0+deb13u1"), ("1.9", "1.10"), ("9", "1:0"), ("1.0-1", "1.0-1+b2"), ("a", "a1"),
        ("1.0-1~deb13u1", "1.0-1"), ("2.41-9", "2.41-12"), ("1.a", "1.+"), ("1.0~~", "1.0~"),
    ],
)  # fmt: skip
def test_version_order(older: str, newer: str) -> None:
    assert compare_versions(older, newer) < 0 < compare_versions(newer, older)
    assert compare_versions(newer, newer) == 0


def test_zeros_do_not_matter() -> None:
    assert compare_versions("1.0", "1.00") == compare_versions("1", "0:1-0") == 0


def test_resolves() -> None:
    resolver = Resolver(parse_index(INDEX, "debian"), frozenset({"docs"}))
    assert list(resolver.resolve(["app"])) == ["app", "liba", "libb", "provider"]
    assert resolver.resolve(["app"])["app"].version == "1.0"
    assert resolver.find_newest_name(r"kernel-6\.12\.\d+-cloud") == "kernel-6.12.10-cloud"


@pytest.mark.parametrize(
    "text", ["Package: a\nVersion: 1\nDepends: b (>= 2)\n\nPackage: b\nVersion: 1", "Package: b\nVersion: 1"]
)
def test_what_cannot_be_met(text: str) -> None:
    with pytest.raises(ImageError, match=r"which no index has|no package a"):
        Resolver(parse_index(index(text), "debian"), frozenset()).resolve(["a"])


def test_relations() -> None:
    ((first, second), (third,)) = parse_relations("a:any (>= 1.2~) | b, c(= 1:3)")
    assert (first.name, first.operator, first.version) == ("a", ">=", "1.2~")
    assert (second.name, third.operator, third.version) == ("b", "=", "1:3")


def test_damaged_index() -> None:
    with pytest.raises(ImageError, match="damaged entry"):
        list(parse_index("Package: a\nVersion: 1\n", "debian"))


def test_paragraphs() -> None:
    text = "A: 1\nB:\n x\n y\n\n\n# comment\nA: 2\n"
    assert list(parse_paragraphs(text)) == [{"A": "1", "B": "\nx\ny"}, {"A": "2"}]


def test_the_lock_that_comes_with_us() -> None:
    lock = load_lock()
    assert set(lock.packages) == set(recipe.ARCHITECTURES)
    assert parse_lock(format_lock(lock)) == lock
    for arch in recipe.ARCHITECTURES:
        names = {package.name for package in lock.of(arch)}
        assert set(recipe.PACKAGES) <= names
        assert not recipe.SKIP & names
        assert sum(name.startswith("linux-image-6.12.") for name in names) == 1
    assert describe_changes(lock, lock, "amd64") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("filename", "pool/../../../etc/passwd.deb"), ("filename", "/etc/x.deb"), ("sha256", "00"), ("size", -1),
        ("size", "1"), ("archive", "other"), ("extra", 1),
    ],
)  # fmt: skip
def test_a_tampered_lock(field: str, value: object) -> None:
    raw = json.loads(format_lock(load_lock()))
    raw["packages"]["amd64"][0][field] = value
    with pytest.raises(ImageError, match="damaged"):
        parse_lock(json.dumps(raw))


def test_a_truncated_lock(tmp_path: Path) -> None:
    text = format_lock(load_lock())
    for size in (0, 1, len(text) // 2, len(text) - 3):
        path = tmp_path / "lock.json"
        path.write_text(text[:size])
        with pytest.raises(ImageError):
            load_lock(path)


def test_a_lock_of_another_format() -> None:
    with pytest.raises(ImageError, match="format 7, expected 1"):
        parse_lock('{"format": 7}')
