"""From the lock file to a finished image: the story, read from top to bottom.

    lock → packages, fetched and hashed → parts → stage-1 root with Python sources
         → booted once, compiles itself → stage-2 root with bytecode → directory

Everything but the compile step is a pure function of the lock file, so equal locks give equal bytes.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from .base_image import build_base_image
from .compile import BootFiles, compile_archive, read_bytecode
from .erofs import write_erofs
from .errors import ImageError
from .initramfs import build_initramfs
from .lock import Lock, load_lock
from .manifest import BASE, INITRAMFS, KERNEL, ROOT, ImageManifest, write_image
from .mirrors import Mirrors, choose_mirrors
from .packages import fetch_packages
from .progress import Progress
from .root import Parts, assemble, with_bytecode
from .tree import Tree

Compiler = Callable[[BootFiles], bytes]
"""Boots a machine from the files and returns its bytecode archive; `compile.boot_and_compile` is one."""


def build_image(
    arch: str,
    out_dir: Path,
    cache_dir: Path,
    mirror: str | None,
    progress: Progress,
    compile_bytecode: Compiler | None,
    *,
    lock: Lock | None = None,
    mirrors: Mirrors | None = None,
) -> ImageManifest:
    """Build an image into a directory, which is replaced if it exists, and only when all is done.

    Arguments:
        cache_dir: where downloads are kept.
        mirror: base address of a Debian mirror; None to choose, see `mirrors`.
        compile_bytecode: None leaves the standard library as sources: bigger, and slower to start.
        lock: other than the one that comes with this package.
        mirrors: instead of `mirror`.
    """
    lock = lock or load_lock()
    lock.of(arch)
    lock, packages = fetch_packages(lock, arch, cache_dir, mirrors or choose_mirrors(mirror), progress)
    progress.started("unpacking packages", 0)
    parts = assemble(packages, arch)
    initramfs = build_initramfs(parts.busybox, parts.boot_modules)
    progress.finished()
    root = parts.root
    if compile_bytecode is not None:
        root = _compile_root(parts, arch, lock, initramfs, cache_dir, progress, compile_bytecode)
    progress.started("writing the image", 0)
    files = {
        KERNEL: parts.kernel,
        INITRAMFS: initramfs,
        ROOT: write_erofs(root, lock.timestamp),
        BASE: build_base_image(parts.busybox, arch, lock.timestamp, lock.date),
    }
    recipe = recipe_digest(arch, lock)
    manifest = write_image(out_dir, files, ImageManifest(arch, parts.version, recipe, lock.digest(arch), {}))
    progress.finished()
    return manifest


def recipe_digest(arch: str, lock: Lock | None = None) -> str:
    """Digest of all that decides an image's content; a finished image has it in its manifest.

    An image built after a mirror had moved on has another: it is not what the lock file says.
    """
    digest = hashlib.sha256((lock or load_lock()).digest(arch).encode())
    sources = Path(__file__).parent
    for path in sorted([*sources.glob("*.py"), *sources.glob("*.sh")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def _compile_root(
    parts: Parts,
    arch: str,
    lock: Lock,
    initramfs: bytes,
    cache_dir: Path,
    progress: Progress,
    compile_bytecode: Compiler,
) -> Tree:
    """Boot the root with sources, and put what it compiled in their place."""
    stage_1 = {
        KERNEL: parts.kernel,
        INITRAMFS: initramfs + compile_archive(),
        ROOT: write_erofs(parts.root, lock.timestamp),
    }
    kept = cache_dir / f"bytecode-{_digest_all(stage_1)}.tar"
    archive = _read_kept(kept)
    if archive is None:
        progress.started("compiling Python's library in the guest", 0)
        archive = _boot(stage_1, arch, cache_dir, compile_bytecode)
        _keep(kept, archive)
        progress.finished()
    return with_bytecode(parts.root, read_bytecode(archive))


def _boot(files: Mapping[str, bytes], arch: str, directory: Path, compile_bytecode: Compiler) -> bytes:
    try:
        with tempfile.TemporaryDirectory(prefix=".stage-1-", dir=directory) as name:
            for file, data in files.items():
                (Path(name) / file).write_bytes(data)
            top = Path(name)
            return compile_bytecode(BootFiles(arch, top / KERNEL, top / INITRAMFS, top / ROOT))
    except OSError as error:
        raise ImageError(f"cannot write to {directory}: {error.strerror or error}", "is the disk full?") from error


def _read_kept(path: Path) -> bytes | None:
    """Bytecode of an earlier build of the very same stage 1, if it is whole."""
    try:
        archive = path.read_bytes()
        read_bytecode(archive)
    except (OSError, ImageError):
        return None
    return archive


def _keep(path: Path, archive: bytes) -> None:
    """Write through a temporary name: a torn archive would be found out, but only at the next build."""
    beside = path.with_suffix(".tmp")
    try:
        beside.write_bytes(archive)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ImageError(f"cannot write {path}: {error.strerror or error}", "is the disk full?") from error


def _digest_all(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    return digest.hexdigest()
