"""What a container mounts besides its root: binds, volumes, images and tmpfs of the request, then their plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..api.errors import AgentError, Kind, invalid
from ..runtime.spec import MountSpec
from .mount_points import (
    PROPAGATIONS,
    Point,
    clean_target,
    is_mode,
    options_of,
    parse_bind,
    parse_mount,
    subpath_of,
    texts_of,
    tmpfs_parameters,
)
from .standard_mounts import plan_file_system


class VolumeMaker(Protocol):
    """Makes or finds what a mount point names, for the container that is being made."""

    def ensure_volume(
        self, name: str, driver: str, labels: dict[str, str] | None, options: dict[str, str] | None
    ) -> dict[str, Any]:
        """A volume in Docker's shape; a new one with a name of its own for an empty name."""
        ...

    def find_image(self, name: str) -> tuple[str, str]:
        """An image's id, and the directory of its topmost layer."""
        ...


def plan_points(
    config: dict[str, Any],
    host: dict[str, Any],
    maker: VolumeMaker,
    points_of: Callable[[str], list[Point]] = lambda name: [],
) -> list[Point]:
    """Resolve Binds, Mounts, VolumesFrom and the image's Volumes; volumes that do not exist are made.

    What is asked for by name comes before what other containers have, and that before the image's volumes.

    Arguments:
        points_of: the mount points of another container, or raises.

    Raises:
        AgentError: malformed, twice the same target, or a bind source that must exist and does not.
    """
    tmpfs = {clean_target(target) for target in host.get("Tmpfs") or {}}
    for text in (host.get("Tmpfs") or {}).values():
        split_tmpfs(text)
    binds = [parse_bind(text, str(host.get("VolumeDriver") or "")) for text in host.get("Binds") or []]
    mounts = [parse_mount(mount) for mount in host.get("Mounts") or []]
    inherited = _inherited(host.get("VolumesFrom") or [], points_of)
    own = [clean_target(target) for target in config.get("Volumes") or {}]
    taken = set(tmpfs)
    for point in binds + mounts:
        target = point["Destination"]
        # A volume in the place of a tmpfs of HostConfig.Tmpfs is a mistake as a bind only; else the tmpfs lies over it.
        if target in taken and (target not in tmpfs or point in binds):
            raise invalid(f"Duplicate mount point: {target}")
        taken.add(target)
    points = [_settle(point, maker) for point in binds + mounts]
    targets = {point["Destination"] for point in points}
    for point in inherited:
        if point["Destination"] not in targets:
            points.append(_settle(point, maker) if point["Type"] == "volume" else point)
            targets.add(point["Destination"])
    for target in own:
        if target not in targets | tmpfs:
            points.append(_settle(parse_mount({"Type": "volume", "Target": target}), maker) | {"Mode": ""})
            targets.add(target)
    return points


def _settle(point: Point, maker: VolumeMaker) -> Point:
    """Make or find what a point names."""
    spec = point["Spec"]
    if point["Type"] == "volume":
        options = options_of(spec, "VolumeOptions")
        volume = maker.ensure_volume(
            point["Name"],
            point["Driver"],
            texts_of(options, "Labels"),
            texts_of(options_of(options, "DriverConfig"), "Options"),
        )
        inherited = point.get("Source")
        names = {"Name": volume["Name"], "Source": volume["Mountpoint"], "Driver": "local"}
        return point | names | ({} if point["Mode"] or inherited else {"Mode": "z"})
    if point["Type"] == "image":
        image_id, source = maker.find_image(point["Name"])
        return point | {"Source": source, "Spec": spec | {"Source": image_id}}
    return point


def _inherited(asked: list[str], points_of: Callable[[str], list[Point]]) -> list[Point]:
    """The volumes and binds of other containers: `name`, `name:ro` or `name:rw`; the last that has a target counts."""
    found: dict[str, Point] = {}
    for text in asked:
        if not text:
            raise invalid("volumes-from specification cannot be an empty string")
        name, _, mode = text.partition(":")
        words = mode.split(",")
        if not is_mode(mode) or any(word in PROPAGATIONS or word == "nocopy" for word in words):
            raise invalid(f"invalid mode: {mode[:80]}")
        try:
            theirs = points_of(name)
        except AgentError as error:
            raise AgentError(Kind.INVALID, error.message) from error
        for point in theirs:
            if point["Type"] != "tmpfs":
                writable = point["RW"] and "ro" not in words
                found[point["Destination"]] = {**point, "RW": writable, "Mode": "", "Inherited": True}
    return list(found.values())


def is_anonymous(point: Point) -> bool:
    """Whether a point is a volume nobody gave a name to, which goes with its container."""
    return point["Type"] == "volume" and "Spec" in point and not point["Spec"].get("Source")


def copies_up(point: Point) -> bool:
    """Whether an empty volume is filled with what the image has at its place."""
    if point["Type"] != "volume" or point.get("Inherited") or "Spec" not in point:
        return False
    return not options_of(point["Spec"], "VolumeOptions").get("NoCopy")


def plan_asked(
    points: list[Point], tmpfs: dict[str, str], layers_of: Callable[[str], list[str]] = lambda image: []
) -> list[MountSpec]:
    """The mounts a user asked for, parents before children.

    Arguments:
        layers_of: an image's layer directories by its id, or raises.
    """
    mounts: list[MountSpec] = []
    over = {clean_target(target) for target in tmpfs}
    for point in points:
        if point["Destination"] in over:
            continue
        if point["Type"] == "tmpfs":
            text = tmpfs_parameters(options_of(point["Spec"], "TmpfsOptions"), read_only=not point["RW"])
            mounts.append(plan_file_system("tmpfs", point["Destination"], *split_tmpfs(text)))
        elif point["Type"] == "image":
            mounts.append(_plan_image(point, layers_of(point["Spec"]["Source"])))
        else:
            mounts.append(_plan_bind(point))
    for target, text in tmpfs.items():
        mounts.append(plan_file_system("tmpfs", clean_target(target), *split_tmpfs(text)))
    return sorted(mounts, key=lambda mount: mount["target"].count("/"))


def _plan_bind(point: Point) -> MountSpec:
    spec = point.get("Spec") or {}
    options = options_of(spec, "BindOptions")
    flags = [] if options.get("NonRecursive") else ["rec"]
    if not point["RW"]:
        flags.append("ro" if options.get("ReadOnlyNonRecursive") else "rro")
    return {
        "kind": "bind",
        "source": point["Source"],
        "subpath": subpath_of(spec) if point["Type"] == "volume" else "",
        "target": point["Destination"],
        "flags": flags,
        "options": [],
        "propagation": point["Propagation"],
    }


def _plan_image(point: Point, layers: list[str]) -> MountSpec:
    return {
        "kind": "image",
        "source": "",
        "subpath": subpath_of(point["Spec"]),
        "target": point["Destination"],
        "flags": ["rro"],
        "options": layers,
        "propagation": "",
    }


_FLAGS = {"ro", "nosuid", "nodev", "noexec", "strictatime"}
_OPPOSITES = {"exec": "noexec", "suid": "nosuid", "dev": "nodev"}
_NEUTRAL = {"rw", "defaults", "async", "atime", "noatime", "diratime", "nodiratime", "relatime", *PROPAGATIONS}
"""What makes no difference to a file system in memory."""
_TMPFS_FLAGS = ("nodev", "noexec", "nosuid")
_PARAMETERS = {"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"}


def split_tmpfs(text: str) -> tuple[list[str], list[str]]:
    """Flags and parameters of `--tmpfs`: without a word about them it is nosuid, nodev and noexec.

    Raises:
        AgentError: a word that is neither.
    """
    flags, options = set(_TMPFS_FLAGS), []
    for word in filter(None, text.split(",")):
        if word in _OPPOSITES:
            flags.discard(_OPPOSITES[word])
        elif word in _FLAGS:
            flags.add(word)
        elif word.partition("=")[0] in _PARAMETERS:
            options.append(word)
        elif word not in _NEUTRAL:
            raise invalid(f'invalid tmpfs option ["{word[:40]}"]')
    return sorted(flags), options
