"""Images on this machine: configurations by digest, names in one file; their layers are in `layers`.

    images/references.json      {"repository:tag": "sha256:...", "repository@sha256:...": "sha256:..."}
    images/<hex>.json           a configuration, byte for byte; its SHA-256 is the image's id
    images/<hex>.note           what only this engine knows of it: parent, last tagging
    layers/                     see `layers`
    staging/                    work in progress; emptied at start

A layer is synced to disk before it gets its name, a configuration after its layers, a reference after its
configuration: whatever a crash leaves can be read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..api.errors import AgentError, Kind, conflict, invalid, not_found
from ..disk import sync_directory, sync_file_system, write_atomically, write_json
from ..linux.trees import remove_path
from .archive import DAMAGED, ArchivedImage, open_stream, unpack_archive
from .configuration import check_inherited
from .layers import LayerStore, Unpacked
from .platform import NATIVE_ARCHITECTURE, Platform
from .reference import looks_like_id, parse_reference

__all__ = ["NATIVE_ARCHITECTURE", "Image", "ImageStore", "Note"]


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


@dataclass(frozen=True)
class Note:
    """What is known of an image besides its configuration.

    Attributes:
        parent: the image from which it was committed here; "" for one that came from elsewhere.
        tagged_ns: when it last got a name, nanoseconds since 1970; 0 for never.
    """

    parent: str = ""
    tagged_ns: int = 0


class ImageStore:
    """All images of one engine. Thread-safe.

    Attributes:
        held: layers that containers stand on: they stay when their image goes.
    """

    def __init__(self, data_root: Path) -> None:
        self._images, layers, staging = (data_root / n for n in ("images", "layers", "staging"))
        for directory in (self._images, layers):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        remove_path(staging)
        staging.mkdir(mode=0o700)
        self._layers_root, self.layers = layers, LayerStore(layers, staging)
        self._empty = data_root / "empty"
        self._empty.mkdir(exist_ok=True)
        self.lock = threading.RLock()
        self.held: Callable[[], set[str]] = set
        self._by_id: dict[str, Image] = {}
        self._notes: dict[str, Note] = {}
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
            if all(self.layers.exists(layer) for layer in image.layers):
                self._by_id[image.id] = image
                self._notes[image.id] = _read_note(path.with_suffix(".note"))
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
        size = sum(self.layers.size(layer) for layer in layers)
        return Image(f"sha256:{hashlib.sha256(raw).hexdigest()}", config, raw, size)

    # -- looking up --------------------------------------------------------------------------

    def list_images(self) -> list[Image]:
        """All images, newest first."""
        with self.lock:
            return sorted(self._by_id.values(), key=lambda image: str(image.config.get("created", "")), reverse=True)

    def references_of(self, image_id: str) -> list[str]:
        """The names of an image with tags and with digests, sorted."""
        with self.lock:
            return sorted(name for name, id_ in self._references.items() if id_ == image_id)

    def tags_of(self, image_id: str) -> list[str]:
        """The names with tags."""
        return [name for name in self.references_of(image_id) if "@" not in name]

    def digests_of(self, image_id: str) -> list[str]:
        """The names with digests."""
        return [name for name in self.references_of(image_id) if "@" in name]

    def note_of(self, image_id: str) -> Note:
        """What else is known of an image."""
        with self.lock:
            return self._notes.get(image_id, Note())

    def children_of(self, image_id: str) -> list[str]:
        """Images that were committed from it."""
        with self.lock:
            return [id_ for id_, note in self._notes.items() if note.parent == image_id]

    def find(self, name: str) -> Image | None:
        """By reference, id or unambiguous beginning of an id; None where there is none.

        Raises:
            AgentError: not a reference, or ambiguous.
        """
        with self.lock:
            if name in self._by_id:
                return self._by_id[name]
            if (reference := self.find_reference(name)) is not None:
                return self._by_id[self._references[reference]]
            if not looks_like_id(name):
                return None
            start = name if name.startswith("sha256:") else f"sha256:{name}"
            found = [image for id_, image in self._by_id.items() if id_.startswith(start)]
            if len(found) > 1:
                raise AgentError(Kind.INVALID, f"ambiguous image id: {name}")
            return found[0] if found else None

    def find_reference(self, name: str) -> str | None:
        """The reference by which an image is known that this text means; None where there is none.

        Raises:
            AgentError: not a reference.
        """
        try:
            reference = parse_reference(name)
        except AgentError:
            if looks_like_id(name):
                return None
            raise
        text = f"{reference.repository}@{reference.digest}" if reference.digest else str(reference)
        return text if text in self._references else None

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
        return [str(self.layers.directory(layer)) for layer in layers] or [str(self._empty)]

    # -- adding ------------------------------------------------------------------------------

    def load(self, source: IO[bytes], platform: Platform | None = None) -> Iterator[tuple[Image, str]]:
        """Import an archive; yields each image with a name it got, "" for one without.

        Arguments:
            platform: the only one wanted.

        Raises:
            AgentError: not an archive, or damaged. Images yielded before stay, of the others nothing does.
        """
        with self.layers.staging() as staging:
            whole, _ = open_stream(source)
            for found in unpack_archive(whole, staging, platform):
                names = [str(parse_reference(name)) for name in found.names]
                image = self._import(found, staging)
                with self.lock:
                    for name in names:
                        self._references[name] = image.id
                    self._write_references()
                    if names:
                        self._write_note(image.id, tagged_ns=time.time_ns())
                for name in names or [""]:
                    yield image, name

    def _import(self, found: ArchivedImage, staging: Path) -> Image:
        image = self._parse(found.config)
        if len(found.layers) != len(image.layers):
            raise invalid(f"image has {len(found.layers)} layers but its configuration names {len(image.layers)}")
        unpacked: dict[str, Unpacked] = {}
        for digest, path in zip(image.layers, found.layers, strict=True):
            if digest not in unpacked and not self.layers.exists(digest):
                with path.open("rb") as source:
                    unpacked[digest] = self._unpack(source, digest, staging)
        return self.create(found.config, list(unpacked.values()), staging)

    def unpack(self, source: IO[bytes], staging: Path) -> Unpacked:
        """Unpack a layer that comes without a digest; it is kept in the staging directory until `create` names it.

        Raises:
            AgentError: not an archive, or an entry no layer may have.
        """
        spool = staging / "spool"
        with spool.open("x+b") as file:
            shutil.copyfileobj(source, file, 1 << 18)
            file.seek(0)
            layer = self._unpack(file, "", staging)
        spool.unlink()
        return layer

    def _unpack(self, source: IO[bytes], expected: str, staging: Path) -> Unpacked:
        try:
            return self.layers.unpack_file(source, expected, staging)
        except DAMAGED as error:
            raise invalid(f"layer is damaged: {error}") from error

    def create(self, raw: bytes, unpacked: list[Unpacked], staging: Path, parent: str = "") -> Image:
        """Give unpacked layers their names, then the image: all of it or nothing, and on disk when it returns.

        Arguments:
            raw: the configuration.
            parent: the image from which it was committed.

        Raises:
            AgentError: a malformed configuration, or a layer that it names is not here.
        """
        if unpacked:
            sync_file_system(staging)
        with self.lock:
            placed: list[str] = []
            try:
                placed += [layer.digest for layer in unpacked if self.layers.place(layer)]
                sync_directory(self._layers_root)
                image = self._parse(raw)
                if not all(self.layers.exists(layer) for layer in image.layers):
                    raise conflict("a layer of the image was removed while it was being loaded; load it again")
                write_atomically(self._images / f"{image.id[7:]}.json", image.raw)
            except BaseException:
                for digest in placed:
                    self.layers.delete(digest)
                raise
            self._by_id[image.id] = image
            if parent:
                self._write_note(image.id, parent=parent)
        return image

    def tag(self, name: str, repository: str, tag: str) -> str:
        """Give an image another name, and return it whole."""
        reference = parse_reference(f"{repository}:{tag}" if tag else repository)
        if reference.digest:
            raise invalid("refusing to create a tag with a digest reference")
        with self.lock:
            image = self.get(name)
            self._references[str(reference)] = image.id
            self._write_references()
            self._write_note(image.id, tagged_ns=time.time_ns())
        return str(reference)

    def _write_references(self) -> None:
        write_json(self._images / "references.json", self._references)

    def _write_note(self, image_id: str, *, parent: str = "", tagged_ns: int = 0) -> None:
        old = self.note_of(image_id)
        note = Note(parent or old.parent, tagged_ns or old.tagged_ns)
        value = {"parent": note.parent, "tagged_ns": note.tagged_ns}
        write_json(self._images / f"{image_id[7:]}.note", value, durable=bool(parent))
        self._notes[image_id] = note

    # -- removing ----------------------------------------------------------------------------

    def untag(self, name: str) -> None:
        """Take a name away; `name` as `references_of` gives it."""
        with self.lock:
            del self._references[name]
            self._write_references()

    def delete(self, image: Image) -> list[str]:
        """Remove an image with its names, and the layers that nobody else needs; returns these."""
        with self.lock:
            if names := self.references_of(image.id):
                for name in names:
                    del self._references[name]
                self._write_references()
            (self._images / f"{image.id[7:]}.json").unlink()
            with contextlib.suppress(FileNotFoundError):
                (self._images / f"{image.id[7:]}.note").unlink()
            del self._by_id[image.id]
            self._notes.pop(image.id, None)
            needed = self._needed()
            gone = [layer for layer in dict.fromkeys(reversed(image.layers)) if layer not in needed]
            for layer in gone:
                self.layers.delete(layer)
            return gone

    def release(self, directories: list[str]) -> None:
        """A container is gone: remove those of its layers that belong to no image any more."""
        with self.lock:
            needed = self._needed()
            for directory in directories:
                digest = self.layers.digest_of(directory)
                if directory != str(self._empty) and digest not in needed:
                    self.layers.delete(digest)

    def _needed(self) -> set[str]:
        held = {self.layers.digest_of(directory) for directory in self.held()}
        return held.union(*(image.layers for image in self._by_id.values()))


def _read_note(path: Path) -> Note:
    try:
        raw = json.loads(path.read_bytes())
        return Note(str(raw["parent"]), int(raw["tagged_ns"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Note()
