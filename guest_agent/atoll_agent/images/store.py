"""Images on this machine: configurations by digest, layers by diff id, names in one file.

    images/references.json      {"repository:tag": "sha256:..."}
    images/<hex>.json           a configuration, byte for byte; its SHA-256 is the image's id
    layers/<hex>/diff           a layer unpacked, named by the digest of its uncompressed tar
    layers/<hex>/size           bytes in its regular files
    staging/                    work in progress; emptied at start

A layer is synced to disk before it gets its name, a configuration after its layers, a reference after its
configuration: whatever a crash leaves can be read.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..api.errors import AgentError, Kind, conflict, invalid, not_found
from ..disk import sync_directory, sync_file_system, write_atomically, write_json
from .archive import DAMAGED, ArchivedImage, open_compressed, unpack_archive
from .configuration import check_inherited
from .extract import extract_layer, remove_tree
from .reference import looks_like_id, parse_reference

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
NATIVE_ARCHITECTURE = ARCHITECTURES.get(platform.machine(), platform.machine())


@dataclass(frozen=True)
class Image:
    """An image on this machine.

    Attributes:
        id: `sha256:...` of its configuration.
        config: the parsed configuration.
        raw: the configuration byte for byte.
        size: bytes in its layers.
    """

    id: str
    config: dict[str, Any]
    raw: bytes = field(repr=False)
    size: int = 0

    @property
    def layers(self) -> list[str]:
        """Diff ids, lowest first."""
        return list(self.config["rootfs"]["diff_ids"])

    @property
    def architecture(self) -> str:
        """As OCI spells it (`amd64`)."""
        return str(self.config.get("architecture", ""))

    @property
    def run_config(self) -> dict[str, Any]:
        """What containers inherit: Env, Cmd, Entrypoint ..."""
        return self.config.get("config") or {}


class HashingReader:
    """Counts and hashes what is read through it."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._hash = source, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read and hash."""
        data = self._source.read(size)
        self._hash.update(data)
        return data

    def finish(self) -> str:
        """Read to the end; the digest of everything."""
        while self.read(1 << 20):
            pass
        return f"sha256:{self._hash.hexdigest()}"


class ImageStore:
    """All images of one engine. Thread-safe."""

    def __init__(self, data_root: Path) -> None:
        self._images, self._layers, self._staging = (data_root / n for n in ("images", "layers", "staging"))
        for directory in (self._images, self._layers):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._staging.exists():
            shutil.rmtree(self._staging)
        self._staging.mkdir(mode=0o700)
        self._empty = data_root / "empty"
        self._empty.mkdir(exist_ok=True)
        self._lock = threading.RLock()
        self._by_id: dict[str, Image] = {}
        self._references: dict[str, str] = {}
        self._read_all()

    def _read_all(self) -> None:
        for path in self._images.glob("*.json"):
            if path.name == "references.json":
                continue
            raw = path.read_bytes()
            if hashlib.sha256(raw).hexdigest() != path.stem:
                path.rename(path.with_suffix(".broken"))
                continue
            try:
                image = self._parse(raw)
            except AgentError:
                path.rename(path.with_suffix(".broken"))
                continue
            if all(self._layer_path(layer).exists() for layer in image.layers):
                self._by_id[image.id] = image
        try:
            stored = json.loads((self._images / "references.json").read_bytes())
        except (FileNotFoundError, ValueError):
            stored = {}
        names = stored.items() if isinstance(stored, dict) else ()
        self._references = {name: id_ for name, id_ in names if isinstance(id_, str) and id_ in self._by_id}

    def _parse(self, raw: bytes) -> Image:
        try:
            config = json.loads(raw)
            layers = config["rootfs"]["diff_ids"]
            if not all(isinstance(layer, str) and layer.startswith("sha256:") for layer in layers):
                raise TypeError("diff_ids")
            for layer in layers:
                if len(layer) != 71 or not all(c in "0123456789abcdef" for c in layer[7:]):
                    raise TypeError("diff_ids")
            check_inherited(config)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise invalid(f"image configuration is malformed: {error}") from error
        size = sum(self._layer_size(layer) for layer in layers)
        return Image(f"sha256:{hashlib.sha256(raw).hexdigest()}", config, raw, size)

    # -- looking up --------------------------------------------------------------------------

    def list_images(self) -> list[Image]:
        """All images, newest first."""
        with self._lock:
            return sorted(self._by_id.values(), key=lambda image: str(image.config.get("created", "")), reverse=True)

    def references_of(self, image_id: str) -> list[str]:
        """The names of an image, sorted."""
        with self._lock:
            return sorted(name for name, id_ in self._references.items() if id_ == image_id)

    def find(self, name: str) -> Image | None:
        """By reference, id or unambiguous beginning of an id; None where there is none.

        Raises:
            AgentError: not a reference, or ambiguous.
        """
        with self._lock:
            if name in self._by_id:
                return self._by_id[name]
            if (reference := self._find_reference(name)) is not None:
                return self._by_id[self._references[reference]]
            if not looks_like_id(name):
                return None
            start = name if name.startswith("sha256:") else f"sha256:{name}"
            found = [image for id_, image in self._by_id.items() if id_.startswith(start)]
            if len(found) > 1:
                raise AgentError(Kind.INVALID, f"ambiguous image id: {name}")
            return found[0] if found else None

    def _find_reference(self, name: str) -> str | None:
        try:
            reference = str(parse_reference(name))
        except AgentError:
            if looks_like_id(name):
                return None
            raise
        return reference if reference in self._references else None

    def get(self, name: str) -> Image:
        """As `find`, but an image that is not there is an error with Docker's text."""
        image = self.find(name)
        if image is None:
            raise not_found(f"No such image: {name if looks_like_id(name) else parse_reference(name)}")
        return image

    def layer_directories(self, image: Image) -> list[str]:
        """Directories for an overlay, topmost first; an empty one for an image without layers.

        Of a layer that is there twice the topmost counts: it hides the other, and overlay refuses a directory twice.
        """
        layers = dict.fromkeys(reversed(image.layers))
        return [str(self._layer_path(layer)) for layer in layers] or [str(self._empty)]

    def _layer_path(self, layer: str) -> Path:
        return self._layers / layer.removeprefix("sha256:") / "diff"

    def _layer_size(self, layer: str) -> int:
        try:
            return int((self._layers / layer.removeprefix("sha256:") / "size").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    # -- changing ----------------------------------------------------------------------------

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty directory that is gone afterwards."""
        path = Path(tempfile.mkdtemp(dir=self._staging))
        try:
            yield path
        finally:
            parent = os.open(self._staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                remove_tree(parent, path.name)
            finally:
                os.close(parent)

    def load(self, source: IO[bytes]) -> Iterator[str]:
        """Import an archive; yields a line for each image, as `docker load` prints it.

        Raises:
            AgentError: not an archive, or damaged. Images yielded before stay, of the others nothing does.
        """
        with self.staging() as staging:
            head = source.read(8)
            whole = open_compressed(_as_io(_Joined(head, source)), head)
            for found in unpack_archive(whole, staging):
                names = [str(parse_reference(name)) for name in found.names]
                image = self._import(found, staging)
                with self._lock:
                    for name in names:
                        self._references[name] = image.id
                    self._write_references()
                yield from (f"Loaded image: {name}" for name in names)
                if not names:
                    yield f"Loaded image ID: {image.id}"

    def _import(self, found: ArchivedImage, staging: Path) -> Image:
        image = self._parse(found.config)
        if len(found.layers) != len(image.layers):
            raise invalid(f"image has {len(found.layers)} layers but its configuration names {len(image.layers)}")
        unpacked: dict[str, Path] = {}
        for digest, path in zip(image.layers, found.layers, strict=True):
            if digest not in unpacked and not self._layer_path(digest).exists():
                with path.open("rb") as source:
                    unpacked[digest] = self._unpack_layer(source, digest, staging)
        if unpacked:
            sync_file_system(staging)
        with self._lock:
            return self._place(found.config, unpacked)

    def _place(self, raw: bytes, unpacked: dict[str, Path]) -> Image:
        """Give unpacked layers their names, then the image: all of it or nothing."""
        placed: list[str] = []
        try:
            for digest, work in unpacked.items():
                if not self._layer_path(digest).exists():
                    work.rename(self._layer_path(digest).parent)
                    placed.append(digest)
            sync_directory(self._layers)
            image = self._parse(raw)
            if not all(self._layer_path(layer).exists() for layer in image.layers):
                raise conflict("a layer of the image was removed while it was being loaded; load it again")
            write_atomically(self._images / f"{image.id[7:]}.json", image.raw)
        except BaseException:
            for digest in placed:
                self._delete_layer(digest)
            raise
        self._by_id[image.id] = image
        return image

    @staticmethod
    def _unpack_layer(source: IO[bytes], diff_id: str, staging: Path) -> Path:
        """Unpack a layer, compressed or not, into a directory of the staging one, and verify its diff id.

        Raises:
            AgentError: another digest than announced, or an entry no layer may have.
        """
        work = Path(tempfile.mkdtemp(dir=staging))
        diff = work / "diff"
        diff.mkdir(mode=0o755)
        head = source.read(8)
        source.seek(0)
        reader = HashingReader(open_compressed(source, head))
        root = os.open(diff, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            size = extract_layer(_as_io(reader), root)
            try:
                digest = reader.finish()
            except DAMAGED as error:
                raise invalid(f"layer is damaged: {error}") from error
        finally:
            os.close(root)
        if digest != diff_id:
            raise invalid(f"layer does not have its digest: expected {diff_id}, got {digest}")
        (work / "size").write_text(str(size))
        return work

    def tag(self, name: str, repository: str, tag: str) -> None:
        """Give an image another name."""
        reference = parse_reference(f"{repository}:{tag}" if tag else repository)
        if reference.digest:
            raise invalid("refusing to create a tag with a digest reference")
        with self._lock:
            self._references[str(reference)] = self.get(name).id
            self._write_references()

    def _write_references(self) -> None:
        write_json(self._images / "references.json", self._references)

    def remove(self, name: str, *, force: bool, in_use: dict[str, str]) -> list[dict[str, str]]:
        """Untag, and with the last name delete, as `docker rmi` does.

        Arguments:
            in_use: image id to the (short) id of a container that uses it.

        Returns:
            `{"Untagged": ...}` and `{"Deleted": ...}` rows.
        """
        with self._lock:
            image = self.get(name)
            reference = self._find_reference(name)
            names = self.references_of(image.id)
            if reference and len(names) > 1:
                return self._untag([reference])
            if not reference and len(names) > 1 and not force:
                raise conflict(
                    f"unable to delete {image.id[7:19]} (must be forced) - image is referenced in multiple repositories"
                )
            if (user := in_use.get(image.id)) and not (force and reference):
                what = f"remove repository reference {name!r}" if reference else f"delete {image.id[7:19]}"
                raise conflict(
                    f"unable to {what} (must force) - container {user} is using its referenced image {image.id[7:19]}"
                )
            rows = self._untag(names)
            return rows if user else rows + self._delete(image)

    def _untag(self, names: list[str]) -> list[dict[str, str]]:
        for name in names:
            del self._references[name]
        self._write_references()
        return [{"Untagged": name} for name in names]

    def _delete(self, image: Image) -> list[dict[str, str]]:
        (self._images / f"{image.id[7:]}.json").unlink()
        del self._by_id[image.id]
        rows = [{"Deleted": image.id}]
        kept = {layer for other in self._by_id.values() for layer in other.layers}
        for layer in dict.fromkeys(reversed(image.layers)):
            if layer not in kept:
                self._delete_layer(layer)
                rows.append({"Deleted": layer})
        return rows

    def _delete_layer(self, layer: str) -> None:
        """Out of sight first, so that a crash leaves no half layer."""
        doomed = Path(tempfile.mkdtemp(dir=self._staging))
        source = self._layers / layer.removeprefix("sha256:")
        if source.exists():
            source.rename(doomed / "layer")
        shutil.rmtree(doomed)


class _Joined:
    """A stream whose first bytes have been read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        if self._head:
            if size < 0:
                data, self._head = self._head, b""
                return data + self._rest.read()
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._rest.read(size)


def _as_io(stream: Any) -> IO[bytes]:
    result: IO[bytes] = stream
    return result
