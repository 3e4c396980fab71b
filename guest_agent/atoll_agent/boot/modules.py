"""Kernel modules of the machine's image, loaded with what they depend on, without any program."""

from __future__ import annotations

import json
from pathlib import Path

from ..linux.modules import load_module

DIRECTORY = Path("/usr/lib/atoll/modules")
STORAGE = ("overlay",)
MACHINE = ("virtio_net", "virtio_balloon", "virtio_rng")
NETWORK = (
    "bridge", "veth", "nf_tables", "nf_conntrack", "nf_nat", "nft_chain_nat", "nft_masq", "nft_ct", "nft_nat",
    "nft_fib_inet",
)  # fmt: skip


class Modules:
    """The image's modules by name."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory
        try:
            self._table = json.loads((directory / "modules.json").read_bytes())
        except FileNotFoundError:
            self._table = {}
        self._loaded: set[str] = set()

    def plan(self, names: tuple[str, ...]) -> list[str]:
        """The modules to load, each after those it depends on; what the kernel has built in is not in the table."""
        order: list[str] = []

        def visit(name: str) -> None:
            if name in order or name in self._loaded or name not in self._table:
                return
            for dependency in self._table[name]["depends"]:
                visit(dependency)
            order.append(name)

        for name in names:
            visit(name)
        return order

    def load(self, names: tuple[str, ...]) -> None:
        """Load modules and their dependencies.

        Raises:
            OSError: the kernel refused one.
        """
        for name in self.plan(names):
            load_module(self._directory / self._table[name]["file"])
            self._loaded.add(name)
