"""`python -m atoll_images`: build an image, or lock its packages anew."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from .build import Compiler, build_image
from .compile import BootFiles, boot_and_compile
from .errors import ImageError
from .indexes import resolve_lock
from .lock import LOCK_PATH, describe_changes, format_lock, load_lock
from .manifest import ImageManifest
from .mirrors import choose_mirrors
from .progress import Lines
from .recipe import ARCHITECTURES

_QEMU = {"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "lock":
            _lock(options)
        else:
            _build(options)
    except ImageError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="atoll_images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build an image")
    build.add_argument("--arch", choices=ARCHITECTURES, required=True)
    build.add_argument("--out", type=Path, help="the image's directory (default: build/image-ARCH)")
    build.add_argument("--cache", type=Path, default=Path("build/cache"), help="where downloads are kept")
    build.add_argument("--qemu", type=Path, help="QEMU that boots ARCH, to compile Python's library")
    build.add_argument("--accelerator", default="tcg", help="QEMU's accelerator")
    build.add_argument("--sources", action="store_true", help="keep Python's library as sources; needs no QEMU")
    lock = commands.add_parser("lock", help="resolve the packages anew and rewrite the lock file")
    for command in (build, lock):
        command.add_argument("--mirror", help="Debian mirror, such as https://host/debian")
    return parser


def _build(options: argparse.Namespace) -> None:
    out = options.out or Path(f"build/image-{options.arch}")
    compiler = None if options.sources else _compiler(options)
    manifest = build_image(options.arch, out, options.cache, options.mirror, Lines(), compiler)
    print(format_sizes(manifest))
    print(out)


def _compiler(options: argparse.Namespace) -> Compiler:
    found = options.qemu or shutil.which(_QEMU[options.arch])
    if not found:
        raise ImageError(f"{_QEMU[options.arch]} not found", "install QEMU, or build with --sources")

    def compile_bytecode(files: BootFiles) -> bytes:
        return boot_and_compile(files, Path(found), options.accelerator)

    return compile_bytecode


def _lock(options: argparse.Namespace) -> None:
    resolved = resolve_lock(choose_mirrors(options.mirror), Lines())
    if LOCK_PATH.exists():
        old = load_lock()
        if resolved.timestamp < old.timestamp:
            raise ImageError(f"the mirror's index is of {resolved.date}, older than the lock's", "try another mirror")
        for arch in ARCHITECTURES:
            print("\n".join(f"{arch}: {change}" for change in describe_changes(old, resolved, arch)) or f"{arch}: same")
    LOCK_PATH.write_text(format_lock(resolved), "utf-8", newline="\n")


def format_sizes(manifest: ImageManifest) -> str:
    """A table of the image's files; the total leaves out the container image, which no boot needs."""
    rows = [(name, entry.size) for name, entry in manifest.files.items()]
    rows.append(("bootable", sum(size for name, size in rows if not name.endswith(".tar"))))
    return "\n".join(f"{name:<16}{size / 1e6:8.1f} MB" for name, size in rows)


if __name__ == "__main__":
    sys.exit(main())
