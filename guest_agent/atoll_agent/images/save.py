"""Writing images as an archive that both `docker load` and tools for OCI layouts read: manifest.json and index.json
over the same blobs. What goes into it is planned first; the layers are then streamed from where they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..api.errors import AgentError, Kind, invalid
from .reference import looks_like_id, parse_reference
from .store import Image, ImageStore
from .tar_format import DIRECTORY, END, Entry, format_entry, padding

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
BLOBS = "blobs/sha256"


@dataclass(frozen=True)
class Member:
    """A file of the archive: its bytes, or the layer that is its content.

    Attributes:
        name: in the archive.
        data: content, for all but layers.
        layer: digest of a layer; "" for none.
        size: bytes.
        time_s: when it was last changed, seconds since 1970.
    """

    name: str
    data: bytes = b""
    layer: str = ""
    size: int = 0
    time_s: int = 0


def choose(store: ImageStore, names: list[str]) -> dict[str, tuple[Image, list[str]]]:
    """The images that names mean, and the tags under which they are saved: a repository means all its tags.

    Raises:
        AgentError: one is not there.
    """
    chosen: dict[str, tuple[Image, list[str]]] = {}
    for name in names:
        for image, tag in _meant_by(store, name):
            _, tags = chosen.setdefault(image.id, (image, []))
            if tag and tag not in tags:
                tags.append(tag)
    if not chosen:
        raise invalid("no image names specified")
    return chosen


def _meant_by(store: ImageStore, name: str) -> list[tuple[Image, str]]:
    try:
        reference = parse_reference(name)
    except AgentError:
        return [(store.get(name), "")]
    plain = not reference.digest and ":" not in name.rpartition("/")[2]
    if plain:
        tags = [
            (image, tag)
            for image in store.list_images()
            for tag in store.tags_of(image.id)
            if parse_reference(tag).repository == reference.repository
        ]
        if tags or not looks_like_id(name):
            return tags or [(store.get(name), "")]
    return [(store.get(name), "" if reference.digest or store.find_reference(name) is None else str(reference))]


def plan_archive(store: ImageStore, chosen: dict[str, tuple[Image, list[str]]]) -> list[Member]:
    """Everything that goes into the archive, each blob once.

    Raises:
        AgentError: a layer that cannot be packed again.
    """
    blobs: dict[str, Member] = {}
    manifests: list[dict[str, Any]] = []
    listed: list[dict[str, Any]] = []
    repositories: dict[str, dict[str, str]] = {}
    for image, tags in chosen.values():
        if not image.layers:
            raise invalid("empty export - not implemented")
        time_s = _seconds(str(image.config.get("created") or ""))
        layers = [_describe(store, layer) for layer in image.layers]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": image.id, "size": len(image.raw)},
            "layers": layers,
        }
        data = json.dumps(manifest, separators=(",", ":")).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        for layer in layers:
            blobs[layer["digest"]] = Member(_blob(layer["digest"]), b"", layer["digest"], layer["size"], time_s)
        blobs[image.id] = Member(_blob(image.id), image.raw, size=len(image.raw), time_s=time_s)
        blobs[digest] = Member(_blob(digest), data, size=len(data))
        listed += _index_rows({"mediaType": MANIFEST, "digest": digest, "size": len(data)}, tags)
        manifests.append(
            {
                "Config": _blob(image.id),
                "RepoTags": tags or None,
                "Layers": [_blob(layer) for layer in image.layers],
                "LayerSources": {layer["digest"]: layer for layer in layers},
            }
        )
        for tag in tags:
            repository, _, word = tag.rpartition(":")
            repositories.setdefault(repository, {})[word] = image.layers[-1][7:]
    files = {
        "index.json": {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed},
        "manifest.json": manifests,
        "oci-layout": {"imageLayoutVersion": "1.0.0"},
        **({"repositories": repositories} if repositories else {}),
    }
    texts = {name: json.dumps(value, separators=(",", ":")).encode() for name, value in files.items()}
    front = [Member("blobs/"), Member(f"{BLOBS}/")]
    return front + list(blobs.values()) + [Member(name, text, size=len(text)) for name, text in texts.items()]


def _blob(digest: str) -> str:
    return f"{BLOBS}/{digest.removeprefix('sha256:')}"


def _describe(store: ImageStore, layer: str) -> dict[str, Any]:
    size = store.layers.archive_size(layer)
    if not size:
        raise AgentError(Kind.SYSTEM, f"layer {layer} was stored without what packs it again; load its image again")
    return {"mediaType": LAYER, "digest": layer, "size": size}


def _index_rows(descriptor: dict[str, Any], tags: list[str]) -> list[dict[str, Any]]:
    rows = []
    for tag in tags:
        reference = parse_reference(tag)
        annotations = {
            "io.containerd.image.name": f"{reference.domain}/{reference.path}:{reference.tag}",
            "org.opencontainers.image.ref.name": reference.tag,
        }
        rows.append({**descriptor, "annotations": annotations})
    return rows or [descriptor]


def _seconds(text: str) -> int:
    try:
        return max(0, int(datetime.fromisoformat(text).timestamp()))
    except (ValueError, OverflowError):
        return 0


def write_archive(store: ImageStore, members: list[Member]) -> Iterator[bytes]:
    """The archive, in parts.

    Raises:
        AgentError: a layer is not what it was; nothing that could be taken for it has been given then.
    """
    for member in members:
        kind = DIRECTORY if member.name.endswith("/") else b"0"
        mode = 0o755 if kind == DIRECTORY else 0o644
        yield format_entry(Entry(member.name, kind, mode, size=member.size, mtime_ns=member.time_s * 10**9))
        if member.layer:
            yield from store.layers.archive(member.layer)
        else:
            yield member.data
        yield bytes(padding(member.size))
    yield END
