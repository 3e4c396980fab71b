"""Taking out of the root what the guest never uses, by the lists of `recipe`."""

from __future__ import annotations

from . import recipe
from .tree import Tree


def prune(tree: Tree, arch: str) -> None:
    """Remove unused files; shared libraries are left to `linkage`, which knows who asks for them."""
    for path, node in list(tree.items()):
        if not node.is_directory and not _is_kept(path, arch):
            tree.remove(path)
    tree.remove_dangling_links()


def _is_kept(path: str, arch: str) -> bool:
    prefixes = (prefix.format(triplet=recipe.TRIPLETS[arch]) for prefix in recipe.DROPPED_PREFIXES)
    if path.startswith(tuple(prefixes)) or path.endswith(recipe.DROPPED_SUFFIXES):
        return False
    if path.startswith(("usr/bin/", "usr/sbin/", "usr/lib/openssh/")):
        return path in recipe.PROGRAMS
    if path.startswith(recipe.STDLIB + "/"):
        return is_kept_module(path.removeprefix(recipe.STDLIB + "/"))
    return True


def is_kept_module(path: str) -> bool:
    """Whether a file of the standard library stays, by its path below it."""
    first, _, rest = path.partition("/")
    if first == "lib-dynload":
        return rest.partition(".")[0] in recipe.KEPT_EXTENSIONS
    if first == "encodings":
        return rest.partition(".")[0] in recipe.KEPT_ENCODINGS
    name = first.partition(".")[0] if not rest else first
    return name not in recipe.DROPPED_STDLIB and first not in recipe.DROPPED_STDLIB
