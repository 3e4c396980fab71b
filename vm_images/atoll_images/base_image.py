"""The container image `atoll/base:latest`: busybox and what a shell expects around it.

The archive is both what `docker load` takes (manifest.json, Docker's image tarball format 1.2) and an OCI image
layout (oci-layout, index.json, blobs), as `docker save` itself writes since version 25.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import tarfile
from collections.abc import Iterable
from typing import Any

from .busybox import read_applets
from .tree import Node, Tree

REFERENCE = "atoll/base:latest"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DIRECTORIES = (
    ("dev", 0o755), ("home", 0o755), ("mnt", 0o755), ("proc", 0o755), ("root", 0o700), ("run", 0o755),
    ("sys", 0o755), ("tmp", 0o1777), ("usr/local/bin", 0o755), ("usr/sbin", 0o755), ("var/log", 0o755),
    ("var/tmp", 0o1777),
)  # fmt: skip
_ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def build_base_image(busybox: bytes, arch: str, created: int, date: str) -> bytes:
    """Format the archive.

    Arguments:
        created: seconds since 1970, the date of every file.
        date: the same, as text.
    """
    layer = _write_tar(((path, node) for path, node in _base_tree(busybox).items() if path), created)
    config = _json(
        {
            "architecture": arch,
            "config": {"Cmd": ["sh"], "Env": [_PATH]},
            "created": date.replace("+00:00", "Z"),
            "history": [{"created": date.replace("+00:00", "Z"), "created_by": "atoll_images"}],
            "os": "linux",
            "rootfs": {"diff_ids": [_digest(layer)], "type": "layers"},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
        }
    )
    index = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                {
                    **_descriptor("application/vnd.oci.image.manifest.v1+json", manifest),
                    "annotations": {
                        "io.containerd.image.name": f"docker.io/{REFERENCE}",
                        "org.opencontainers.image.ref.name": "latest",
                    },
                    "platform": {"architecture": arch, "os": "linux"},
                }
            ],
        }
    )
    archive = Tree()
    for blob in (layer, config, manifest):
        archive.add_file(_blob_path(blob), blob)
    archive.add_file("index.json", index)
    listing = [{"Config": _blob_path(config), "RepoTags": [REFERENCE], "Layers": [_blob_path(layer)]}]
    archive.add_file("manifest.json", _json(listing))
    archive.add_file("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    return _write_tar(((path, node) for path, node in archive.items() if path), created)


def _base_tree(busybox: bytes) -> Tree:
    tree = Tree()
    for path, mode in _DIRECTORIES:
        tree.add_directory(path, mode)
    tree.add_file("usr/bin/busybox", busybox, 0o755)
    for name in read_applets(busybox):
        if name == "busybox":
            continue
        tree.add_link(f"usr/bin/{name}", "busybox")
    tree.add_link("bin", "usr/bin")
    tree.add_link("sbin", "usr/sbin")
    for name, text in _ETC.items():
        tree.add_file(f"etc/{name}", text.encode())
    return tree


def _write_tar(items: Iterable[tuple[str, Node]], mtime: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, node in items:
            member = tarfile.TarInfo(path)
            member.mode, member.mtime = stat.S_IMODE(node.mode), mtime
            if node.is_directory:
                member.type = tarfile.DIRTYPE
            elif node.is_link:
                member.type, member.linkname = tarfile.SYMTYPE, node.data.decode()
            else:
                member.size = len(node.data)
            archive.addfile(member, io.BytesIO(node.data) if node.is_file else None)
    return out.getvalue()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _blob_path(data: bytes) -> str:
    return "blobs/" + _digest(data).replace(":", "/")


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}
