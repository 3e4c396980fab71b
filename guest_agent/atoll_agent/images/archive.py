"""Reading an image archive: what `docker save` writes, or an OCI layout in a tar, or both in one.

The archive is unpacked flat into a staging directory (names are looked up, never used as paths), then its manifests are
read. Layers stay in the staging directory as they came; the store verifies and unpacks them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ..api.errors import AgentError, Kind, invalid

MAX_METADATA = 4 << 20
MAX_FILES = 10_000
MAX_LAYERS = 512
CHUNK = 1 << 20
DAMAGED = (tarfile.TarError, EOFError, ValueError, OverflowError, lzma.LZMAError, zlib.error, gzip.BadGzipFile)
"""What reading a damaged archive may raise, compressed or not."""


@dataclass(frozen=True)
class ArchivedImage:
    """One image found in an archive.

    Attributes:
        config: the image's configuration, byte for byte.
        layers: files with its layers, lowest first, compressed or not.
        names: references it is tagged with.
    """

    config: bytes
    layers: tuple[Path, ...]
    names: tuple[str, ...]


def open_compressed(source: IO[bytes], head: bytes) -> IO[bytes]:
    """Wrap a stream so that it reads decompressed; `head` is its first bytes, which it must still deliver."""
    if head.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=source))
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(source)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _open_zstd(source)
    return source


def _open_zstd(source: IO[bytes]) -> IO[bytes]:
    try:
        from backports import zstd
    except ImportError:
        try:
            import zstandard  # type: ignore[import-not-found,unused-ignore]
        except ImportError as error:
            raise AgentError(Kind.NOT_IMPLEMENTED, "zstd layers need python3-zstandard on this system") from error
        return cast("IO[bytes]", _Zstd(zstandard.ZstdDecompressor().stream_reader(source), zstandard.ZstdError))
    return cast("IO[bytes]", _Zstd(zstd.ZstdFile(source), zstd.ZstdError))


class _Zstd:
    """A zstd stream whose damage is a ValueError: its own error has a class that may not be installed."""

    def __init__(self, source: Any, error: type[Exception]) -> None:
        self._source, self._error = source, error

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._source.read(size)
        except self._error as error:
            raise ValueError(str(error)) from error
        return data


def unpack_archive(source: IO[bytes], staging: Path) -> list[ArchivedImage]:
    """Unpack an (uncompressed) archive stream and find its images.

    Arguments:
        staging: an empty directory that the caller removes.

    Raises:
        AgentError: not an image archive, or a broken one.
    """
    files: dict[str, Path] = {}
    links: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for entry in archive:
                _stage(archive, entry, staging, files, links)
                archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every header it has seen
    except DAMAGED as error:
        raise invalid(f"not an image archive: {error}") from error
    for name, target in links.items():
        if target in files:
            files.setdefault(name, files[target])
    if "manifest.json" in files:
        return list(_docker_images(files))
    if "index.json" in files:
        return list(_oci_images(files))
    raise invalid("not an image archive: neither manifest.json nor index.json in it")


def _stage(
    archive: tarfile.TarFile, entry: tarfile.TarInfo, staging: Path, files: dict[str, Path], links: dict[str, str]
) -> None:
    name = _clean(entry.name)
    if entry.issym() or entry.islnk():
        base = name.rpartition("/")[0] if entry.issym() else ""
        links[name] = _clean(f"{base}/{entry.linkname}")
        return
    if not entry.isreg():
        return
    if len(files) >= MAX_FILES:
        raise invalid(f"image archive has more than {MAX_FILES} files")
    if name in files:
        files.pop(name).unlink()
    content = archive.extractfile(entry)
    place = staging / str(entry.offset)
    with place.open("xb") as out:
        if content:
            shutil.copyfileobj(content, out, CHUNK)
    if place.stat().st_size != entry.size:
        raise invalid(f"image archive is truncated in {entry.name!r}")
    files[name] = place


def _clean(name: str) -> str:
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _read(files: dict[str, Path], name: str) -> bytes:
    path = files.get(_clean(name))
    if path is None:
        raise invalid(f"image archive names {name!r}, which is not in it")
    if path.stat().st_size > MAX_METADATA:
        raise invalid(f"image archive: {name!r} is larger than {MAX_METADATA} bytes")
    return path.read_bytes()


def _json(files: dict[str, Path], name: str) -> Any:
    try:
        return json.loads(_read(files, name))
    except (ValueError, RecursionError) as error:
        raise invalid(f"image archive: {name!r} is not JSON: {error}") from error


def _docker_images(files: dict[str, Path]) -> Iterator[ArchivedImage]:
    manifest = _json(files, "manifest.json")
    if not isinstance(manifest, list):
        raise invalid("image archive: manifest.json is not a list")
    for item in manifest:
        try:
            config, layers, names = item["Config"], item["Layers"], item.get("RepoTags") or []
            if not isinstance(config, str) or not all(isinstance(t, str) for t in [*layers, *names]):
                raise TypeError("names must be strings")
        except (KeyError, TypeError, AttributeError) as error:
            raise invalid(f"image archive: manifest.json is malformed: {error}") from error
        yield ArchivedImage(_read(files, config), _layer_files(files, layers), tuple(names))


def _layer_files(files: dict[str, Path], names: list[str]) -> tuple[Path, ...]:
    if len(names) > MAX_LAYERS:
        raise invalid(f"image has more than {MAX_LAYERS} layers")
    missing = next((name for name in names if _clean(name) not in files), None)
    if missing is not None:
        raise invalid(f"image archive names {missing!r}, which is not in it")
    return tuple(files[_clean(name)] for name in names)


def _oci_images(files: dict[str, Path]) -> Iterator[ArchivedImage]:
    index = _json(files, "index.json")
    try:
        for descriptor in index["manifests"]:
            annotations = descriptor.get("annotations") or {}
            name = annotations.get("io.containerd.image.name") or annotations.get("org.opencontainers.image.ref.name")
            manifest = json.loads(_blob(files, descriptor["digest"]))
            if "layers" in manifest and "manifests" in manifest:
                raise invalid("image archive: a manifest is both image and index")
            if "manifests" in manifest:
                continue
            layers = [_blob_name(layer["digest"]) for layer in manifest["layers"]]
            names = (name,) if name and not name.startswith("sha256:") else ()
            config = _blob(files, manifest["config"]["digest"])
            yield ArchivedImage(config, _layer_files(files, layers), names)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise invalid(f"image archive: malformed OCI layout: {error}") from error


def _blob_name(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


def _blob(files: dict[str, Path], digest: str) -> bytes:
    data = _read(files, _blob_name(digest))
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
        raise invalid(f"image archive: blob {digest} does not have its digest")
    return data
