"""Layers on disk: unpacked once, named by the digest of their uncompressed archive, and archives again when asked for.

layers/<hex>/diff           the layer, as overlay wants it
layers/<hex>/size           bytes in its regular files
layers/<hex>/archive-size   bytes of its archive
layers/<hex>/recipe         how the archive is made again (see `recipe`), or
layers/<hex>/archive.gz     the archive itself, where a recipe would not do: one entry hides another one's content
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..api.errors import AgentError, Kind, invalid
from ..linux.trees import remove_path
from .archive import DAMAGED, open_compressed
from .extract import Rules, extract
from .recipe import RecipeError, RecipeWriter, follow_recipe

EMPTY_LAYER = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
"""An archive without entries: a change that changed nothing."""
CHUNK = 1 << 18


@dataclass(frozen=True)
class Unpacked:
    """A layer in the staging directory, not yet named.

    Attributes:
        digest: of its uncompressed archive, as OCI's diff id.
        work: the directory that becomes `layers/<hex>`.
        size: bytes in its regular files.
    """

    digest: str
    work: Path
    size: int


class HashingReader:
    """Counts and hashes what is read through it."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._hash = source, hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        """Read and hash."""
        data = self._source.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    @property
    def digest(self) -> str:
        """Of everything read so far."""
        return f"sha256:{self._hash.hexdigest()}"


class LayerStore:
    """All layers of one engine; whoever uses it holds a lock where names change."""

    def __init__(self, root: Path, staging: Path) -> None:
        self._root, self._staging = root, staging

    def directory(self, digest: str) -> Path:
        """What overlay stacks."""
        return self._home(digest) / "diff"

    def _home(self, digest: str) -> Path:
        return self._root / digest.removeprefix("sha256:")

    def digest_of(self, directory: str) -> str:
        """The layer whose `directory` that is."""
        return f"sha256:{Path(directory).parent.name}"

    def exists(self, digest: str) -> bool:
        """Whether it is here."""
        return self.directory(digest).exists()

    def all(self) -> list[str]:
        """Every layer here."""
        return [f"sha256:{path.name}" for path in self._root.iterdir()]

    def size(self, digest: str) -> int:
        """Bytes in its regular files; 0 where that is not known."""
        return self._number(digest, "size")

    def archive_size(self, digest: str) -> int:
        """Bytes of its archive."""
        return self._number(digest, "archive-size")

    def _number(self, digest: str, name: str) -> int:
        try:
            return int((self._home(digest) / name).read_text())
        except (FileNotFoundError, ValueError):
            return 0

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty directory that is gone afterwards."""
        path = Path(tempfile.mkdtemp(dir=self._staging))
        try:
            yield path
        finally:
            remove_path(path)

    # -- in ----------------------------------------------------------------------------------

    def unpack_file(self, source: IO[bytes], expected: str, staging: Path) -> Unpacked:
        """Unpack a layer from a file, compressed or not.

        Arguments:
            expected: its digest; "" where nobody has told.

        Raises:
            AgentError: another digest, or an entry no layer may have.
        """
        head = source.read(8)
        source.seek(0)
        layer, replaced = self._unpack(open_compressed(source, head), staging)
        if expected and layer.digest != expected:
            raise invalid(f"layer does not have its digest: expected {expected}, got {layer.digest}")
        if replaced and not _is_right(layer):
            source.seek(0)
            _keep_whole(open_compressed(source, head), layer.work)
        return layer

    def unpack_stream(self, archive: Iterator[bytes], staging: Path) -> Unpacked:
        """Unpack an archive of our own making, which names nothing twice."""
        layer, _ = self._unpack(as_io(IteratorReader(archive)), staging)
        return layer

    def _unpack(self, source: IO[bytes], staging: Path) -> tuple[Unpacked, bool]:
        work = Path(tempfile.mkdtemp(dir=staging))
        diff = work / "diff"
        diff.mkdir(mode=0o755)
        reader, recipe = HashingReader(source), RecipeWriter(work / "recipe")
        root = os.open(diff, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        whole = False
        try:
            found = extract(as_io(reader), root, Rules(), recipe)
            whole = True
        finally:
            os.close(root)
            recipe.close(whole=whole)
        (work / "size").write_text(str(found.size))
        (work / "archive-size").write_text(str(reader.size))
        return Unpacked(reader.digest, work, found.size), found.replaced

    def place(self, layer: Unpacked) -> bool:
        """Give an unpacked layer its name; False when another has it already."""
        if self.exists(layer.digest):
            return False
        layer.work.rename(self._home(layer.digest))
        return True

    # -- out ---------------------------------------------------------------------------------

    def archive(self, digest: str) -> Iterator[bytes]:
        """Its uncompressed archive, byte for byte as it came.

        Raises:
            AgentError: it is not here, or not what it was; the last part is not given then.
        """
        if not self.exists(digest):
            raise AgentError(Kind.NOT_FOUND, f"layer {digest} is not here")
        seen, last = hashlib.sha256(), b""
        try:
            for data in _archive_of(self._home(digest)):
                seen.update(data)
                yield last
                last = data
        except (RecipeError, FileNotFoundError, *DAMAGED) as error:
            raise AgentError(Kind.SYSTEM, f"layer {digest} cannot be packed again: {error}") from error
        if f"sha256:{seen.hexdigest()}" != digest:
            raise AgentError(Kind.SYSTEM, f"layer {digest} is not what it was any more")
        yield last

    def delete(self, digest: str) -> None:
        """Remove a layer: out of sight first, so that a crash leaves no half of it."""
        doomed = Path(tempfile.mkdtemp(dir=self._staging))
        source = self._home(digest)
        if source.exists():
            source.rename(doomed / "layer")
        remove_path(doomed)


def _archive_of(home: Path) -> Iterator[bytes]:
    whole = home / "archive.gz"
    if whole.exists():
        with gzip.open(whole, "rb") as source:
            while data := source.read(CHUNK):
                yield data
        return
    diff = os.open(home / "diff", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield from follow_recipe(home / "recipe", diff)
    finally:
        os.close(diff)


def _is_right(layer: Unpacked) -> bool:
    seen = hashlib.sha256()
    try:
        for data in _archive_of(layer.work):
            seen.update(data)
    except RecipeError:
        return False
    return f"sha256:{seen.hexdigest()}" == layer.digest


def _keep_whole(source: IO[bytes], work: Path) -> None:
    with gzip.GzipFile(work / "archive.gz", "wb", compresslevel=4, mtime=0) as out:
        while data := source.read(CHUNK):
            out.write(data)
    (work / "recipe").unlink()


class IteratorReader:
    """Parts of a stream as a file to read from."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._rest = parts, b""

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; b"" at the end."""
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return b""
            self._rest = part
        data, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return data


def as_io(stream: Any) -> IO[bytes]:
    """What has a `read` and nothing else, for those who need no more of a file."""
    result: IO[bytes] = stream
    return result
