"""Image archives made on the spot, as `docker save` writes them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from atoll.config import host_architecture

FOREIGN = {"amd64": "arm64", "arm64": "amd64"}
MACHINES = {"amd64": 62, "arm64": 183}
"""ELF's numbers of architectures (elf(5), `e_machine`)."""


def foreign_architecture() -> str:
    """An architecture this computer does not have."""
    return FOREIGN[host_architecture()]


def foreign_program() -> bytes:
    """The smallest thing that is a program of another architecture: an ELF header (64 bits, little-endian)."""
    identity = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)
    machine = MACHINES[foreign_architecture()].to_bytes(2, "little")
    fields = (2).to_bytes(2, "little") + machine + (1).to_bytes(4, "little")
    return identity + fields + bytes(64 - len(identity) - len(fields))


def write_archive(
    path: Path, name: str, files: Mapping[str, bytes], architecture: str = "", command: tuple[str, ...] = ("/program",)
) -> Path:
    """Write an archive with one image of one layer.

    Arguments:
        name: its reference.
        files: executable files of its layer by path.
        architecture: this computer's by default.
    """
    layer = _tar(files, 0o755)
    config = {
        "architecture": architecture or host_architecture(),
        "os": "linux",
        "config": {"Cmd": list(command), "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    members = {"config.json": json.dumps(config).encode(), "layer.tar": layer}
    path.write_bytes(_tar({**members, "manifest.json": json.dumps(manifest).encode()}, 0o644))
    return path


def _tar(files: Mapping[str, bytes], mode: int) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    return whole.getvalue()
