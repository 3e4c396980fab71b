"""Layers and image archives of our own making, honest and hostile."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

Member = tuple[tarfile.TarInfo, bytes]
UID = os.getuid() if hasattr(os, "getuid") else 0
GID = os.getgid() if hasattr(os, "getgid") else 0
MOMENT = 1_700_000_000


def make_member(
    name: str,
    content: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    target: str = "",
    mode: int = 0o644,
    uid: int = UID,
    gid: int = GID,
    mtime: float = MOMENT,
    device: tuple[int, int] = (0, 0),
    pax: dict[str, str] | None = None,
) -> Member:
    """One entry of a tar archive, owned by whoever runs the tests."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = kind, target, mode
    entry.uid, entry.gid, entry.mtime = uid, gid, mtime
    entry.devmajor, entry.devminor = device
    entry.size = len(content)
    entry.pax_headers = pax or {}
    return entry, content


def make_directory(name: str, mode: int = 0o755, **more: Any) -> Member:
    """A directory."""
    return make_member(name, kind=tarfile.DIRTYPE, mode=mode, **more)


def make_symlink(name: str, target: str, **more: Any) -> Member:
    """A symbolic link."""
    return make_member(name, kind=tarfile.SYMTYPE, target=target, **more)


def make_link(name: str, target: str, **more: Any) -> Member:
    """A hard link."""
    return make_member(name, kind=tarfile.LNKTYPE, target=target, **more)


def pack(*members: Member, format: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for entry, content in members:
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def digest_of(data: bytes) -> str:
    """As OCI writes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def make_config(layers: Sequence[bytes], **more: Any) -> bytes:
    """An image configuration for layers given uncompressed."""
    value = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
    }
    return json.dumps(value | more).encode()


def docker_archive(*images: tuple[bytes, Sequence[bytes], Sequence[str]]) -> bytes:
    """What `docker save` writes: (configuration, layers, names) of each image."""
    files: dict[str, bytes] = {}
    manifest = []
    for config, layers, names in images:
        paths = [f"{digest_of(layer)[7:]}/layer.tar" for layer in layers]
        config_name = f"{digest_of(config)[7:]}.json"
        manifest.append({"Config": config_name, "RepoTags": list(names), "Layers": paths})
        files |= {config_name: config, **dict(zip(paths, layers, strict=True))}
    files["manifest.json"] = json.dumps(manifest).encode()
    return pack(*(make_member(name, data) for name, data in files.items()))


def oci_archive(
    config: bytes, layers: Sequence[bytes], name: str = "", *, replace: dict[str, bytes] | None = None
) -> bytes:
    """An OCI layout in a tar; `replace` changes the content of blobs (by digest) and of files (by name) afterwards."""
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "config": {"digest": digest_of(config), "size": len(config)},
            "layers": [{"digest": digest_of(layer), "size": len(layer)} for layer in layers],
        }
    ).encode()
    annotations = {"io.containerd.image.name": name} if name else {}
    index = {"schemaVersion": 2, "manifests": [{"digest": digest_of(manifest), "annotations": annotations}]}
    files = {f"blobs/sha256/{digest_of(blob)[7:]}": blob for blob in (config, manifest, *layers)}
    files |= {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
    for key, data in (replace or {}).items():
        files[f"blobs/sha256/{key[7:]}" if key.startswith("sha256:") else key] = data
    return pack(*(make_member(name, data) for name, data in files.items()))


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The makers above; tests are imported one by one and cannot import this file."""
    return SimpleNamespace(
        member=make_member,
        directory=make_directory,
        symlink=make_symlink,
        link=make_link,
        pack=pack,
        digest=digest_of,
        config=make_config,
        docker_archive=docker_archive,
        oci_archive=oci_archive,
        moment=MOMENT,
    )
