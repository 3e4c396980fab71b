"""The description of a finished image, and how one comes into its place: whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import ImageError
from .fetch import hash_file, make_directory

FORMAT = 1
MANIFEST = "manifest.json"
KERNEL, INITRAMFS, ROOT, BASE = "kernel", "initramfs.cpio", "root.erofs", "base.tar"


@dataclass(frozen=True)
class ImageFile:
    """One file of an image."""

    sha256: str
    size: int


@dataclass(frozen=True)
class ImageManifest:
    """What an image is.

    Attributes:
        kernel_version: the kernel's release, as uname(1) has it.
        recipe: digest of the lock and of this package's sources: equal recipes give equal images.
        lock: digest of the lock for this architecture.
        files: by name.
    """

    arch: str
    kernel_version: str
    recipe: str
    lock: str
    files: Mapping[str, ImageFile]
    format: int = FORMAT

    def to_json(self) -> str:
        """Format for `manifest.json`."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def load_manifest(directory: Path, *, verify: bool = True) -> ImageManifest:
    """Read an image's manifest.

    Arguments:
        verify: also compare every file with its hash; otherwise only sizes.

    Raises:
        ImageError: no image there, of another format, truncated or tampered with.
    """
    hint = "build the image again"
    try:
        raw = json.loads((directory / MANIFEST).read_text("utf-8"))
        if raw.get("format") != FORMAT:
            raise ImageError(f"image {directory}: format {raw.get('format')}, expected {FORMAT}", hint)
        raw["files"] = {name: ImageFile(**entry) for name, entry in raw["files"].items()}
        manifest = ImageManifest(**raw)
    except FileNotFoundError as error:
        raise ImageError(f"no image in {directory}", hint) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageError(f"image {directory}: damaged manifest: {error}", hint) from error
    for name, entry in manifest.files.items():
        _check_file(directory / name, entry, verify, hint)
    return manifest


def write_image(directory: Path, files: Mapping[str, bytes], describe: ImageManifest) -> ImageManifest:
    """Write an image beside its place, make it durable, then move it there.

    Whatever fails on the way (a full disk, above all) leaves what was in the place before, and nothing else.
    """
    entries = {name: ImageFile(hashlib.sha256(data).hexdigest(), len(data)) for name, data in sorted(files.items())}
    manifest = ImageManifest(describe.arch, describe.kernel_version, describe.recipe, describe.lock, entries)
    make_directory(directory.parent)
    beside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", suffix=".tmp", dir=directory.parent))
    try:
        beside.chmod(0o755)
        for name, data in files.items():
            _write_durably(beside / name, data)
        _write_durably(beside / MANIFEST, manifest.to_json().encode())
        _sync_directory(beside)
        _swap(beside, directory)
    except OSError as error:
        raise ImageError(f"cannot write image {directory}: {error.strerror or error}", "is the disk full?") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return manifest


def _check_file(path: Path, entry: ImageFile, verify: bool, hint: str) -> None:
    try:
        size = path.stat().st_size
        if size != entry.size:
            raise ImageError(f"{path}: {size} bytes, expected {entry.size}", hint)
        if verify and hash_file(path) != entry.sha256:
            raise ImageError(f"{path}: its content is not what was built", hint)
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}", hint) from error


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_directory(path: Path) -> None:
    """Make names durable; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _swap(beside: Path, directory: Path) -> None:
    """Rename into place. A directory cannot be renamed over a full one, so the old one steps aside for a moment."""
    old = Path(f"{beside}.old")
    stepped_aside = directory.exists()
    if stepped_aside:
        directory.rename(old)
    try:
        beside.rename(directory)
    except OSError:
        if stepped_aside:
            with contextlib.suppress(OSError):
                old.rename(directory)
        raise
    _sync_directory(directory.parent)
    if stepped_aside:
        shutil.rmtree(old, ignore_errors=True)
