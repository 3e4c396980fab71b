"""The bootable image: built on first need, and the machine's own initrd made of it, the agent and the seed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

from atoll_agent.api.seed import SEED_PATH, Seed

from ..errors import ConfigError, HostError
from ..paths import cache_directory, images_directory
from ..qemu.binary import find_qemu
from ..system.files import write_whole
from ..system.locks import FileLock

if TYPE_CHECKING:
    from atoll_images.errors import ImageError
    from atoll_images.progress import Progress

AGENT_DIRECTORY = "atoll/agent"
LOCK_TIMEOUT_S = 900
Say = Callable[[str], None]


def image_directory(arch: str) -> Path:
    """Where the image of this version of Atoll lies, built or not."""
    given = os.environ.get("ATOLL_IMAGE_DIR")
    if given:
        return Path(given)
    from atoll_images.build import recipe_digest

    return images_directory() / f"{arch}-{recipe_digest(arch)[:12]}"


def ensure_image(arch: str, say: Say, progress: Progress | None = None) -> Path:
    """The image's directory; builds it when it is not there, and once more when it is damaged.

    Raises:
        HostError: it cannot be built; or it is damaged, and one that the user chose.
    """
    from atoll_images.errors import ImageError

    directory = image_directory(arch)
    try:
        damage = _find_damage(directory)
        if damage and (directory / "manifest.json").exists():
            if os.environ.get("ATOLL_IMAGE_DIR"):
                raise damage
            say(f"the image is damaged: {damage}")
        if damage:
            _build(arch, directory, say, progress)
    except ImageError as error:
        raise HostError(error.message, _mend(directory, error.hint)) from error
    return directory


def _find_damage(directory: Path) -> ImageError | None:
    """What is wrong with an image; None when nothing is."""
    from atoll_images.errors import ImageError

    from .verified import check_image

    try:
        check_image(directory)
    except ImageError as error:
        return error
    return None


def _mend(directory: Path, hint: str) -> str:
    """What to do about an image that is damaged."""
    return f"remove {directory} to have it built again" if hint in ("", "build the image again") else hint


def _build(arch: str, directory: Path, say: Say, progress: Progress | None) -> None:
    from atoll_images.build import build_image
    from atoll_images.compile import BootFiles, boot_and_compile

    qemu = find_qemu(arch)
    directory.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory.parent / f".{arch}.lock")
    if not lock.acquire(LOCK_TIMEOUT_S):
        raise HostError("another command has been building the image for a long time", "end it and try again")
    try:
        if not _find_damage(directory):
            return  # another command was quicker
        say(f"building the {arch} image (once; packages are downloaded)")

        def compile_bytecode(boot: BootFiles) -> bytes:
            return boot_and_compile(boot, qemu.path)

        from atoll_images.progress import Silent

        build_image(arch, directory, cache_directory() / "packages", None, progress or Silent(), compile_bytecode)
    finally:
        lock.release()


def direct_kernel(image: Path, arch: str) -> Path:
    """The kernel to boot: on amd64 unpacked once, since emulated decompression costs half a second of every boot."""
    path = kernel_path(image, arch)
    if not path.exists():
        from atoll_images.kernel import extract_vmlinux

        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, extract_vmlinux((image / "kernel").read_bytes()), mode=0o644)
    return path


def kernel_path(image: Path, arch: str) -> Path:
    """Where the kernel to boot is, or will be."""
    if arch != "amd64":
        return image / "kernel"
    return cache_directory() / "kernels" / f"{_digest_of(image, 'kernel')[:16]}.elf"


def _digest_of(image: Path, name: str) -> str:
    try:
        manifest = json.loads((image / "manifest.json").read_bytes())
        return str(manifest["files"][name]["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"image {image}: damaged manifest: {error}", _mend(image, "")) from error


def read_agent_sources() -> dict[str, bytes]:
    """The agent's files by path below its directory. Read, never imported."""
    sources: dict[str, bytes] = {}

    def visit(directory: Traversable, prefix: str) -> None:
        for entry in directory.iterdir():
            path = f"{prefix}/{entry.name}"
            if entry.is_dir():
                if entry.name != "__pycache__":
                    visit(entry, path)
            elif entry.name.endswith((".py", ".json")):
                sources[path] = entry.read_bytes()

    visit(files("atoll_agent"), "atoll_agent")
    return dict(sorted(sources.items()))


def agent_archive(image: Path, arch: str, say: Say) -> bytes:
    """The agent as a cpio archive, compiled by the image's own Python; kept until agent or image change."""
    from atoll_images.cpio import file_entry, write_cpio
    from atoll_images.errors import ImageError

    sources = read_agent_sources()
    digest = hashlib.sha256(_digest_of(image, "root.erofs").encode())
    for path, data in sources.items():
        digest.update(f"{path}\0{len(data)}\0".encode() + data)
    kept = cache_directory() / "agents" / f"{digest.hexdigest()[:32]}.cpio"
    if kept.exists():
        return kept.read_bytes()
    from atoll_images.compile import compile_sources

    say("compiling the agent (once for each version)")
    try:
        compiled = compile_sources(image, sources, find_qemu(arch).path)
    except ImageError as error:
        raise HostError(f"cannot compile the agent: {error.message}", error.hint) from error
    compiled |= {path: data for path, data in sources.items() if not path.endswith(".py")}
    archive = write_cpio([file_entry(f"{AGENT_DIRECTORY}/{path}", data) for path, data in sorted(compiled.items())])
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_whole(kept, archive, mode=0o644)
    return archive


def compose_initrd(image: Path, agent: bytes, seed: Seed) -> bytes:
    """Initramfs, agent and seed: the kernel unpacks archives one after the other."""
    from atoll_images.cpio import file_entry, write_cpio

    initramfs = (image / "initramfs.cpio").read_bytes()
    return initramfs + agent + write_cpio([file_entry(SEED_PATH, seed.to_json().encode(), 0o600)])


def verify_image(image: Path) -> None:
    """Compare every file of the image with its hash.

    Raises:
        ConfigError: one differs.
    """
    from atoll_images.errors import ImageError
    from atoll_images.manifest import load_manifest

    try:
        load_manifest(image, verify=True)
    except ImageError as error:
        raise ConfigError(error.message, _mend(image, error.hint)) from error
