"""The guest's root file system, as a tree: packages in, pruned and checked tree out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import recipe
from .busybox import read_applets
from .deb import unpack
from .errors import ImageError
from .etc_files import add_certificates, add_etc
from .kernel import prepare_kernel
from .kernel_modules import BOOT, RUNTIME, Module, ModuleSet, add_modules
from .linkage import check_linkage, drop_unneeded_libraries
from .prune import prune
from .tree import Node, Tree

_ZSTANDARD = "usr/lib/python3/dist-packages/zstandard"
_ZSTANDARD_FILES = ("__init__.py", "backend_c.")


@dataclass(frozen=True)
class Parts:
    """What the packages hold, sorted out.

    Attributes:
        root: the root with the standard library as sources.
        boot_modules: for the initramfs, in load order.
        version: the kernel's release, as uname(1) has it.
    """

    root: Tree
    kernel: bytes
    version: str
    boot_modules: tuple[Module, ...]
    busybox: bytes


def assemble(packages: Mapping[str, bytes], arch: str) -> Parts:
    """Unpack packages, named, into the parts of an image."""
    kernel_tree = Tree()
    unpacked = Tree()
    for name, data in packages.items():
        if name.startswith("linux-image-"):
            unpack(data, kernel_tree, name, lambda path: path.startswith(("boot/vmlinuz-", "usr/lib/modules/")))
        else:
            unpack(data, unpacked, name, lambda path: not path.startswith(("usr/share/doc/", "usr/share/man/")))
    version = _kernel_version(kernel_tree)
    modules = ModuleSet(kernel_tree, version)
    kernel = prepare_kernel(arch, kernel_tree[f"boot/vmlinuz-{version}"].data)
    busybox = unpacked["usr/bin/busybox"].data
    root = _build_root(unpacked, arch, modules.closure([*BOOT, *RUNTIME]))
    return Parts(root, kernel, version, tuple(modules.closure(BOOT)), busybox)


def with_bytecode(root: Tree, bytecode: Mapping[str, bytes]) -> Tree:
    """The same root with bytecode in the place of sources.

    Raises:
        ImageError: a source was not compiled.
    """
    result = Tree()
    for path, node in root.items():
        if path.endswith(".py") and path.startswith(recipe.STDLIB):
            if f"{path}c" not in bytecode:
                raise ImageError(f"no bytecode for /{path}")
            result.add_file(f"{path}c", bytecode[f"{path}c"])
        elif path:
            result.put(path, node)
    return result


def _kernel_version(tree: Tree) -> str:
    names = [path.removeprefix("boot/vmlinuz-") for path, _ in tree.files() if path.startswith("boot/vmlinuz-")]
    if len(names) != 1:
        raise ImageError(f"expected one kernel, found {len(names)}")
    return names[0]


def _build_root(packages: Tree, arch: str, modules: Iterable[Module]) -> Tree:
    root = Tree()
    for path, node in packages.items():
        if path:
            root.put(path, node)
    _place_zstandard(root)
    prune(root, arch)
    if "usr/bin/tini-static" in root:
        root.put("usr/bin/tini", root["usr/bin/tini-static"])
        root.remove("usr/bin/tini-static")
    drop_unneeded_libraries(root, arch)
    root = _without_empty_directories(root)
    add_etc(root)
    add_certificates(root, packages)
    _add_links(root, arch)
    for path, mode in recipe.MOUNT_POINTS:
        root.add_directory(path, mode)
    check_linkage(root, arch)
    add_modules(root, modules)
    return root


def _without_empty_directories(root: Tree) -> Tree:
    """What pruning has emptied goes: only files and links make directories."""
    result = Tree()
    for path, node in root.items():
        if not node.is_directory:
            result.put(path, node)
    return result


def _place_zstandard(root: Tree) -> None:
    """Move it into the standard library: the agent runs without `site`, which would add a second directory."""
    for path, node in list(root.files()):
        if path.startswith(f"{_ZSTANDARD}/"):
            name = path.removeprefix(f"{_ZSTANDARD}/")
            if name.startswith(_ZSTANDARD_FILES):
                root.put(f"{recipe.STDLIB}/zstandard/{name}", Node(node.mode, node.data))
    root.remove("usr/lib/python3")


def _add_links(root: Tree, arch: str) -> None:
    links = ["bin", "lib", "sbin", *(["lib64"] if arch == "amd64" else [])]
    for name in links:
        root.add_directory(f"usr/{name}")
        root.add_link(name, f"usr/{name}")
    for name in read_applets(root["usr/bin/busybox"].data):
        if f"usr/bin/{name}" not in root and f"usr/sbin/{name}" not in root:
            root.add_link(f"usr/bin/{name}", "busybox")
    root.add_link("usr/bin/python3", "python3.13")
