"""A machine's two ed25519 keys: the user's, which opens it, and its own, which the client pins."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ..errors import ConfigError
from ..system.files import write_whole

USER_KEY = "id_ed25519"
HOST_KEY = "host_key"


def ensure_keys(directory: Path) -> None:
    """Make the keys that are not there yet."""
    for name in (USER_KEY, HOST_KEY):
        private, public = directory / name, directory / f"{name}.pub"
        if private.exists() and public.exists():
            continue
        key = Ed25519PrivateKey.generate()
        openssh = serialization.PrivateFormat.OpenSSH
        data = key.private_bytes(serialization.Encoding.PEM, openssh, serialization.NoEncryption())
        public.unlink(missing_ok=True)  # or an error now would leave two halves of different keys
        write_whole(private, data)
        text = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        write_whole(public, text + b" atoll\n", mode=0o644)


def read_host_seed(path: Path) -> bytes:
    """The 64 bytes (private seed and public key) of an ed25519 key file.

    Raises:
        ConfigError: the file is no such key.
    """
    try:
        key = serialization.load_ssh_private_key(path.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}", "remove the file to have a new key made") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} is not an ed25519 key", "remove the file to have a new key made")
    raw = serialization.Encoding.Raw
    private = key.private_bytes(raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    return private + key.public_key().public_bytes(raw, serialization.PublicFormat.Raw)


def is_private(path: Path) -> bool:
    """Whether only its owner can read a key file (always so on Windows, where the profile is private)."""
    return os.name == "nt" or path.stat().st_mode & 0o077 == 0
