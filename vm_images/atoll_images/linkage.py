"""Whether every program in the root finds the libraries it asks for, and whether every library is asked for."""

from __future__ import annotations

from .elf import ElfFile, is_elf, parse_elf
from .errors import ImageError
from .recipe import DLOPENED, TRIPLETS
from .tree import Tree, clean_path


def drop_unneeded_libraries(tree: Tree, arch: str) -> list[str]:
    """Remove libraries that nothing needs, until all that are left are needed; returns their paths."""
    dropped: list[str] = []
    while True:
        needed = {name for elf in _read(tree, arch).values() for name in elf.needed} | DLOPENED
        needed |= {elf.interpreter.rpartition("/")[2] for elf in _read(tree, arch).values() if elf.interpreter}
        targets = {tree.find_file(f"{_directory(arch)}/{name}") for name in needed}
        spare = [path for path in _libraries(tree, arch) if path not in targets]
        if not spare:
            return sorted(dropped)
        for path in spare:
            tree.remove(path)
        tree.remove_dangling_links()
        dropped += spare


def check_linkage(tree: Tree, arch: str) -> None:
    """Prove that the dynamic linker will find everything in its built-in directories: there is no ld.so.cache.

    Raises:
        ImageError: a library or the dynamic linker is missing, or a file is of a foreign architecture.
    """
    missing = []
    for path, elf in _read(tree, arch).items():
        if elf.machine != arch:
            raise ImageError(f"/{path} is built for {elf.machine}, not {arch}")
        for name in elf.needed:
            if tree.find_file(f"{_directory(arch)}/{name}") is None:
                missing.append(f"{name} (for /{path})")
        if elf.interpreter and tree.find_file(clean_path(elf.interpreter.lstrip("/"), path)) is None:
            missing.append(f"{elf.interpreter} (for /{path})")
    if missing:
        raise ImageError(f"image lacks libraries: {', '.join(sorted(missing))}", "add their packages to the recipe")


def _directory(arch: str) -> str:
    return f"usr/lib/{TRIPLETS[arch]}"


def _read(tree: Tree, arch: str) -> dict[str, ElfFile]:
    return {
        path: parse_elf(node.data, f"/{path}")
        for path, node in tree.files()
        if is_elf(node.data) and not path.endswith(".ko")
    }


def _libraries(tree: Tree, arch: str) -> list[str]:
    directory = _directory(arch)
    return [path for path, _ in tree.files() if path.rpartition("/")[0] == directory and ".so" in path]
