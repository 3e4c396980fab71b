"""Which kernel modules the guest gets, and in which order they load.

Dependencies come from the modules themselves (`.modinfo`): packages carry no modules.dep, depmod writes it on
installation. Files are shipped unpacked, so that the guest loads them with finit_module(2) and needs no kmod.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from .compression import decompress
from .elf import read_section
from .errors import ImageError
from .tree import Tree

MODULE_DIRECTORY = "usr/lib/atoll/modules"

BOOT = ("virtio_blk", "erofs")
"""What it takes to reach the root; these go into the initramfs."""

RUNTIME = (
    # containers' roots
    "overlay",
    # the machine's own devices
    "virtio_net", "virtio_balloon", "virtio_rng",
    # container networks
    "veth", "bridge",
    # NAT, spoken to over netlink
    "nf_conntrack", "nf_nat", "nf_tables", "nft_chain_nat", "nft_ct", "nft_fib_inet", "nft_masq", "nft_nat",
)  # fmt: skip
"""What the agent loads: these and no others, a test compares them with its own lists."""


@dataclass(frozen=True)
class Module:
    """One kernel module.

    Attributes:
        depends: names of modules that must be loaded before.
    """

    name: str
    data: bytes
    depends: tuple[str, ...]

    @property
    def file(self) -> str:
        """Name of its file in the image."""
        return f"{self.name}.ko"


def canonical(name: str) -> str:
    """The kernel's own spelling of a module's name."""
    return name.replace("-", "_")


def parse_module(name: str, data: bytes) -> Module:
    """Read a module's dependencies from its `.modinfo`."""
    depends: list[str] = []
    for entry in read_section(data, ".modinfo", name).split(b"\0"):
        key, _, value = entry.partition(b"=")
        if key == b"depends":
            depends += [canonical(part) for part in value.decode().split(",") if part]
    return Module(canonical(name), data, tuple(depends))


class ModuleSet:
    """The modules of a kernel package."""

    def __init__(self, tree: Tree, version: str) -> None:
        base = f"usr/lib/modules/{version}"
        self._paths = {
            canonical(path.rpartition("/")[2].partition(".ko")[0]): path
            for path, _ in tree.files()
            if path.startswith(f"{base}/kernel/") and ".ko" in path
        }
        self._builtin = {
            canonical(line.rpartition("/")[2].removesuffix(".ko"))
            for line in tree[f"{base}/modules.builtin"].data.decode().split()
        }
        self._tree = tree
        self._parsed: dict[str, Module] = {}

    def closure(self, names: Iterable[str]) -> list[Module]:
        """The named modules and all they depend on, in load order. What is built into the kernel is left out.

        Raises:
            ImageError: the kernel has no such module.
        """
        order: dict[str, Module] = {}
        for name in names:
            self._visit(canonical(name), order)
        return list(order.values())

    def _visit(self, name: str, order: dict[str, Module]) -> None:
        if name in order or name in self._builtin:
            return
        module = self._load(name)
        for needed in module.depends:
            self._visit(needed, order)
        order[name] = module

    def _load(self, name: str) -> Module:
        if name not in self._parsed:
            path = self._paths.get(name)
            if path is None:
                raise ImageError(f"kernel has no module {name}")
            self._parsed[name] = parse_module(name, decompress(self._tree[path].data, path))
        return self._parsed[name]


def add_modules(tree: Tree, modules: Iterable[Module]) -> None:
    """Put modules and their index into the root; the index names only what can be loaded, not what is built in."""
    shipped = {module.name: module for module in modules}
    index = {}
    for name, module in shipped.items():
        tree.add_file(f"{MODULE_DIRECTORY}/{module.file}", module.data)
        index[name] = {"file": module.file, "depends": [needed for needed in module.depends if needed in shipped]}
    text = json.dumps(index, indent=1, sort_keys=True) + "\n"
    tree.add_file(f"{MODULE_DIRECTORY}/modules.json", text.encode())
