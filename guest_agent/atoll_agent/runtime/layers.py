"""An image's layers as one read-only tree: a detached mount, of which nothing is visible until somebody attaches it."""

from __future__ import annotations

import errno
import os

from ..linux import mounts


def mount_layers(layers: list[str]) -> int:
    """The descriptor of a read-only mount of layer directories.

    Arguments:
        layers: topmost first.
    """
    if len(layers) == 1:  # overlay wants two at least where nothing can be written
        directory = os.open(layers[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            made = mounts.open_tree(directory)
        finally:
            os.close(directory)
        mounts.set_attributes(made, add=mounts.MOUNT_ATTR_RDONLY, propagation=mounts.MS_PRIVATE)
        return made
    return mount_overlay(layers, [], mounts.MOUNT_ATTR_RDONLY)


def open_layers(layers: list[str]) -> int:
    """A descriptor from which to read in layer directories; of a single one that is the directory itself."""
    if len(layers) == 1:
        return os.open(layers[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return mount_layers(layers)


def mount_overlay(layers: list[str], options: list[tuple[str, str | None]], attributes: int = 0) -> int:
    """The descriptor of a detached overlay mount of layer directories, with further options."""
    tail = [*options, ("index", "off"), ("metacopy", "off"), ("redirect_dir", "off"), ("source", "overlay")]
    try:
        return mounts.fs_mount("overlay", [("lowerdir+", layer) for layer in layers] + tail, attributes)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    # Before Linux 6.8 the layers are one string, in which a colon must be escaped and which one page limits.
    joined = ":".join(layer.replace("\\", "\\\\").replace(":", "\\:") for layer in layers)
    return mounts.fs_mount("overlay", [("lowerdir", joined), *tail], attributes)
