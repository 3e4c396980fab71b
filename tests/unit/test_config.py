"""Settings on disk: what makes no sense is refused with the word that does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atoll import config
from atoll.config import MachineConfig, host_architecture, load_config, save_config
from atoll.errors import ConfigError

GOOD = MachineConfig("default", arch="amd64")


def test_round_trip(tmp_path: Path) -> None:
    chosen = MachineConfig("a-1", "native", "arm64", 3, 512, 7, "tcg")
    save_config(chosen, tmp_path / "machine.json")
    assert load_config(tmp_path / "machine.json") == chosen
    assert "\n" in (tmp_path / "machine.json").read_text()  # a person can read it


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a" * 40, "nul1"])
def test_good_names(name: str) -> None:
    assert MachineConfig(name, arch="amd64").check()


@pytest.mark.parametrize(
    "name",
    ["", "A", "a" * 41, "-a", "a-", "a_b", "a.b", "a/b", "a\\b", "..", ".", "a b", "a\n", "ä", "a\0", "٣"],
)
def test_bad_names(name: str) -> None:
    with pytest.raises(ConfigError, match="invalid machine name"):
        MachineConfig(name, arch="amd64").check()


@pytest.mark.parametrize("name", ["con", "nul", "prn", "aux", "com1", "lpt9"])
def test_names_that_windows_keeps_for_itself(name: str) -> None:
    """No directory can have them there, and machines go from one computer to another."""
    with pytest.raises(ConfigError, match=f"invalid machine name '{name}'"):
        MachineConfig(name, arch="amd64").check()


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("cpus", 0, "cpus"), ("cpus", 65, "cpus"), ("cpus", 2.5, "cpus"), ("cpus", "2", "cpus"), ("cpus", True, "cpus"),
        ("memory_mib", 255, "memory"), ("memory_mib", -1, "memory"), ("memory_mib", None, "memory"),
        ("disk_gib", 0, "disk"), ("disk_gib", 8193, "disk"), ("disk_gib", 1e3, "disk"),
        ("driver", "docker", "driver"), ("driver", ["qemu"], "driver"),
        ("accelerator", "xen", "accelerator"), ("arch", "riscv64", "architecture"), ("arch", "", "architecture"),
        ("name", 5, "machine.json"), ("colour", "blue", "colour"),
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path, key: str, value: object, word: str) -> None:
    path = tmp_path / "machine.json"
    save_config(GOOD, path)
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ConfigError, match=word):
        load_config(path)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"3", b'"x"', b"\xff\xfe", b"{}", b'{"name": "a"'])
def test_a_torn_file_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "machine.json"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(path) in caught.value.message


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "machine.json")


@pytest.mark.parametrize(
    ("machine", "found"),
    [("x86_64", "amd64"), ("AMD64", "amd64"), ("arm64", "arm64"), ("aarch64", "arm64"), ("ARM64", "arm64")],
)
def test_this_computer(monkeypatch: pytest.MonkeyPatch, machine: str, found: str) -> None:
    monkeypatch.setattr(config.platform, "machine", lambda: machine)
    assert host_architecture() == found
