"""Which mirror is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from atoll_images.errors import ImageError
from atoll_images.lock import Lock, LockedPackage
from atoll_images.mirrors import DEFAULT_MIRROR, choose_mirrors, read_apt_configuration

ONE_LINE = """\
# deb http://commented.example.org/debian trixie main
deb-src http://source.example.org/debian trixie main
deb [arch=amd64 signed-by=/x.gpg] http://one.example.org/debian/ bookworm main contrib
deb http://ubuntu.example.org/ubuntu noble main
deb http://pi.example.org/raspbian bookworm main
deb cdrom:[Debian 13]/debian trixie main
deb https://vendor.example.org/debian stable nightly
"""
DEB822 = """\
Types: deb deb-src
# a comment
URIs: http://two.example.org/debian
Suites: trixie trixie-updates
Components: main

Types: deb
URIs: http://two.example.org/debian-security
Suites: trixie-security
Components: main

Types: deb
Enabled: no
URIs: http://off.example.org/debian
Suites: trixie
Components: main
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    return tmp_path


def test_reads_both_styles(apt: Path) -> None:
    assert read_apt_configuration(apt) == [
        "http://one.example.org/debian",
        "http://two.example.org/debian",
        "http://two.example.org/debian-security",
    ]


def test_no_apt_here(tmp_path: Path) -> None:
    assert read_apt_configuration(tmp_path / "absent") == []
    assert choose_mirrors(None, {}, tmp_path / "absent").main == (DEFAULT_MIRROR,)
    assert DEFAULT_MIRROR.startswith("https://")


def test_order(apt: Path) -> None:
    found = choose_mirrors(None, {}, apt)
    assert found.main == ("http://one.example.org/debian", "http://two.example.org/debian", DEFAULT_MIRROR)
    assert found.security[0] == "http://two.example.org/debian-security"


def test_option_before_environment_before_apt(apt: Path) -> None:
    environment = {"ATOLL_DEBIAN_MIRROR": "https://env.example.org/debian/"}
    assert choose_mirrors(None, environment, apt).main == ("https://env.example.org/debian",)
    chosen = choose_mirrors("https://option.example.org/debian", environment, apt)
    assert chosen.main == ("https://option.example.org/debian",)
    assert chosen.security[0] == "https://option.example.org/debian-security"


@pytest.mark.parametrize("base", ["ftp://x/debian", "/srv/debian", "https:///debian"])
def test_not_an_address(base: str) -> None:
    with pytest.raises(ImageError, match="not a mirror's address"):
        choose_mirrors(base)


def test_snapshot_address() -> None:
    package = LockedPackage("a", "1", "debian", "pool/main/a/a_1.deb", 1, "0" * 64)
    found = choose_mirrors("https://x.example.org/debian")
    address = found.snapshot_address(package, Lock("2026-11-22T02:09:05+00:00", {}))
    assert address.endswith("/archive/debian/20261122T020905Z/pool/main/a/a_1.deb")
