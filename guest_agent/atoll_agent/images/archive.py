"""Reading an image archive: what `docker save` writes, or an OCI layout in a tar, or both in one.

The archive is unpacked flat into a staging directory (names are looked up, never used as paths), then its manifests are
read. Layers stay in the staging directory as they came; the store verifies and unpacks them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ..api.errors import AgentError, Kind, invalid, not_found
from .platform import NATIVE, Platform, matches_platform
from .tar_format import LINK, SYMLINK, Entry
from .tar_read import TarReader

MAX_METADATA = 4 << 20
MAX_FILES = 10_000
MAX_LAYERS = 512
MAX_INDEXES = 3
CHUNK = 1 << 20
DAMAGED = (EOFError, ValueError, OverflowError, lzma.LZMAError, zlib.error, gzip.BadGzipFile)
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
        return cast("IO[bytes]", gzip.GzipFile(fileobj=source, mode="rb"))
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(source)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _open_zstd(source)
    if head.startswith(b"BZh"):
        return _open_bzip2(source)
    return source


def open_stream(source: IO[bytes]) -> tuple[IO[bytes], bool]:
    """A stream that cannot go back, without its compression, and whether it is empty."""
    head = source.read(8)
    joined: Any = Joined(head, source)
    return open_compressed(joined, head), not head


class Joined:
    """A stream whose first bytes have been read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        if not self._head:
            return self._rest.read(size)
        if size < 0:
            data, self._head = self._head, b""
            return data + self._rest.read()
        data, self._head = self._head[:size], self._head[size:]
        return data


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


def _open_bzip2(source: IO[bytes]) -> IO[bytes]:
    try:
        import bz2
    except ImportError as error:
        raise AgentError(Kind.NOT_IMPLEMENTED, "bzip2 archives cannot be read on this system") from error
    return cast("IO[bytes]", _Bzip2(bz2.BZ2File(source)))


class _Bzip2:
    """A bzip2 stream whose damage is a ValueError: Python raises an OSError that has no number."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source

    def read(self, size: int = -1) -> bytes:
        try:
            return self._source.read(size)
        except OSError as error:
            if error.errno is not None:
                raise
            raise ValueError(str(error)) from error


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


def unpack_archive(source: IO[bytes], staging: Path, platform: Platform | None = None) -> list[ArchivedImage]:
    """Unpack an (uncompressed) archive stream and find its images.

    Arguments:
        staging: an empty directory that the caller removes.
        platform: chooses among the images of an index, and refuses others.

    Raises:
        AgentError: not an image archive, a broken one, or none for the platform.
    """
    files: dict[str, Path] = {}
    links: dict[str, str] = {}
    reader = TarReader(source)
    try:
        for number, entry in enumerate(reader):
            _stage(reader, entry, staging / str(number), files, links)
        reader.finish()
    except DAMAGED as error:
        raise invalid(f"not an image archive: {error}") from error
    for name, target in links.items():
        if target in files:
            files.setdefault(name, files[target])
    if "manifest.json" in files:
        found = list(_docker_images(files))
    elif "index.json" in files:
        found = list(_oci_images(files, platform))
    else:
        raise invalid("not an image archive: neither manifest.json nor index.json in it")
    return [image for image in found if platform is None or _is_for(image, platform)]


def _is_for(image: ArchivedImage, platform: Platform) -> bool:
    try:
        config = json.loads(image.config)
        matches = matches_platform(platform, config)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise invalid(f"image configuration is malformed: {error}") from error
    if not matches:
        raise not_found(f"requested platform ({platform}) not found: the image is for another")
    return True


def _stage(reader: TarReader, entry: Entry, place: Path, files: dict[str, Path], links: dict[str, str]) -> None:
    name = _clean(entry.name)
    if entry.kind in (LINK, SYMLINK):
        base = name.rpartition("/")[0] if entry.kind == SYMLINK else ""
        links[name] = _clean(f"{base}/{entry.target}")
        if len(links) > MAX_FILES:
            raise invalid(f"image archive has more than {MAX_FILES} files")
        return
    if not entry.is_file:
        return
    if len(files) >= MAX_FILES:
        raise invalid(f"image archive has more than {MAX_FILES} files")
    if entry.sparse is not None:
        raise invalid(f"image archive has a sparse file: {entry.name!r}")
    if name in files:
        files.pop(name).unlink()
    with place.open("xb") as out:
        while data := reader.read(CHUNK):
            out.write(data)
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


def _oci_images(files: dict[str, Path], platform: Platform | None) -> Iterator[ArchivedImage]:
    index = _json(files, "index.json")
    try:
        for descriptor in index["manifests"]:
            annotations = descriptor.get("annotations") or {}
            name = annotations.get("io.containerd.image.name") or annotations.get("org.opencontainers.image.ref.name")
            manifest = _manifest(files, descriptor, platform, 0)
            if manifest is None:
                continue
            layers = [_blob_name(layer["digest"]) for layer in manifest["layers"]]
            names = (name,) if name and not name.startswith("sha256:") else ()
            config = _blob(files, manifest["config"]["digest"])
            yield ArchivedImage(config, _layer_files(files, layers), names)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise invalid(f"image archive: malformed OCI layout: {error}") from error


def _manifest(files: dict[str, Path], descriptor: Any, platform: Platform | None, depth: int) -> Any:
    """The manifest of an image, sought in an index (and indexes in it); None where that has none for us."""
    manifest = json.loads(_blob(files, descriptor["digest"]))
    if "layers" in manifest and "manifests" in manifest:
        raise invalid("image archive: a manifest is both image and index")
    if "manifests" not in manifest:
        return manifest
    if depth >= MAX_INDEXES:
        raise invalid("image archive: too many indexes within indexes")
    wanted = platform or NATIVE
    there = [item for item in manifest["manifests"] if _clean(_blob_name(item["digest"])) in files]
    for item in there:
        if item.get("platform") and matches_platform(wanted, item["platform"]):
            return _manifest(files, item, platform, depth + 1)
    plain = [item for item in there if not item.get("platform")]
    return _manifest(files, plain[0], platform, depth + 1) if plain else None


def _blob_name(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


def _blob(files: dict[str, Path], digest: str) -> bytes:
    data = _read(files, _blob_name(digest))
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
        raise invalid(f"image archive: blob {digest} does not have its digest")
    return data
