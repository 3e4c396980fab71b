"""The two keys of a machine: made once, private, and read back."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from atoll.errors import ConfigError
from atoll.ssh import keys
from atoll.ssh.keys import HOST_KEY, USER_KEY, ensure_keys, is_private, read_host_seed

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes; the user's profile is private")


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_made_once(tmp_path: Path) -> None:
    ensure_keys(tmp_path)
    made = contents(tmp_path)
    assert set(made) == {"id_ed25519", "id_ed25519.pub", "host_key", "host_key.pub"}
    assert made["id_ed25519"] != made["host_key"]
    ensure_keys(tmp_path)
    assert contents(tmp_path) == made


@pytest.mark.parametrize("name", [USER_KEY, HOST_KEY])
def test_the_halves_fit_and_ssh_reads_them(tmp_path: Path, name: str) -> None:
    ensure_keys(tmp_path)
    private = paramiko.Ed25519Key.from_private_key_file(str(tmp_path / name))
    assert (tmp_path / f"{name}.pub").read_text() == f"ssh-ed25519 {private.get_base64()} atoll\n"


@posix
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_nobody_else_can_read_them(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        ensure_keys(tmp_path)
    finally:
        os.umask(before)
    for name in (USER_KEY, HOST_KEY):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        assert is_private(tmp_path / name)


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_a_key_that_others_reach_is_noticed(tmp_path: Path, mode: int) -> None:
    ensure_keys(tmp_path)
    (tmp_path / USER_KEY).chmod(mode)
    assert not is_private(tmp_path / USER_KEY)


@pytest.mark.parametrize("lost", ["id_ed25519", "id_ed25519.pub", "host_key", "host_key.pub"])
def test_a_lost_half_makes_a_new_pair_of_it_and_of_no_other(tmp_path: Path, lost: str) -> None:
    ensure_keys(tmp_path)
    before = contents(tmp_path)
    (tmp_path / lost).unlink()
    ensure_keys(tmp_path)
    changed = {name for name, data in contents(tmp_path).items() if before[name] != data}
    name = lost.removesuffix(".pub")
    assert changed == {name, f"{name}.pub"}


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_full_disk_never_leaves_two_halves_of_different_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    ensure_keys(tmp_path)
    for name in (USER_KEY, HOST_KEY):
        (tmp_path / name).unlink()
    write, done = keys.write_whole, []

    def full(path: Path, *arguments: Any, **options: Any) -> None:
        done.append(path)
        if len(done) == at:
            raise OSError(28, "No space left on device")
        write(path, *arguments, **options)

    monkeypatch.setattr(keys, "write_whole", full)
    with pytest.raises(OSError, match="No space"):
        ensure_keys(tmp_path)
    monkeypatch.undo()
    ensure_keys(tmp_path)
    for name in (USER_KEY, HOST_KEY):
        private = paramiko.Ed25519Key.from_private_key_file(str(tmp_path / name))
        assert private.get_base64() in (tmp_path / f"{name}.pub").read_text()


def test_the_seed_is_what_the_machine_needs(tmp_path: Path) -> None:
    ensure_keys(tmp_path)
    seed = read_host_seed(tmp_path / HOST_KEY)
    public = Ed25519PrivateKey.from_private_bytes(seed[:32]).public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    assert (len(seed), seed[32:]) == (64, raw)
    text = base64.b64decode((tmp_path / "host_key.pub").read_text().split()[1])
    assert text.endswith(raw)


def foreign_key() -> bytes:
    key = generate_private_key(SECP256R1())
    openssh = serialization.PrivateFormat.OpenSSH
    return key.private_bytes(serialization.Encoding.PEM, openssh, serialization.NoEncryption())


@pytest.mark.parametrize("damage", ["missing", "empty", "cut off", "noise", "not text", "of another kind"])
def test_a_damaged_key_is_named(tmp_path: Path, damage: str) -> None:
    ensure_keys(tmp_path)
    path = tmp_path / HOST_KEY
    data = path.read_bytes()
    damaged = {
        "empty": b"",
        "cut off": data[:100],
        "noise": data[:60] + b"AAAA" + data[64:],
        "not text": bytes(range(256)),
        "of another kind": foreign_key(),
    }
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(damaged[damage])
    with pytest.raises(ConfigError) as caught:
        read_host_seed(path)
    assert str(path) in caught.value.message
    assert "new key" in caught.value.hint
