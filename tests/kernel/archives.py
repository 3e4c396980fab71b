"""Images made by a test: the base image's layers with one of the test's own on top."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from .conftest import Engine

Member = tuple[tarfile.TarInfo, bytes]


def entry(name: str, content: bytes = b"", *, kind: bytes = tarfile.REGTYPE, **fields: Any) -> Member:
    """One entry of a layer; `fields` are those of TarInfo (mode, uid, gid, linkname, pax_headers ...)."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode, info.mtime = kind, len(content), 0o644, 1_700_000_000
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def directory(name: str, mode: int = 0o755, **fields: Any) -> Member:
    """A directory."""
    return entry(name, kind=tarfile.DIRTYPE, mode=mode, **fields)


def symlink(name: str, target: str) -> Member:
    """A symbolic link."""
    return entry(name, kind=tarfile.SYMTYPE, linkname=target)


def pack(*members: Member) -> bytes:
    """A tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def load_image(engine: Engine, base: Path, name: str, *members: Member, **config: Any) -> None:
    """Load `name`: the base image and a layer of `members`; `config` is merged into its configuration's `config`."""
    with tarfile.open(base) as archive:
        files = {info.name: archive.extractfile(info).read() for info in archive if info.isfile()}  # type: ignore[union-attr]
    row = json.loads(files["manifest.json"])[0]
    whole = json.loads(files[row["Config"]])
    layer = pack(*members)
    whole["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(layer).hexdigest()}")
    whole["config"] = {**(whole.get("config") or {}), **config}
    whole.pop("history", None)
    raw = json.dumps(whole).encode()
    parts = {f"layer{n}.tar": files[path] for n, path in enumerate(row["Layers"])} | {"own.tar": layer}
    manifest = [{"Config": "config.json", "RepoTags": [f"{name}:latest"], "Layers": list(parts)}]
    parts |= {"config.json": raw, "manifest.json": json.dumps(manifest).encode()}
    engine.ok("POST", "/images/load", pack(*(entry(path, data) for path, data in parts.items())))
