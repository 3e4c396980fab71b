"""The plan of a container's process, as plain JSON values.

The engine decides everything here (names resolved to numbers where that needs no look into the container's root,
defaults filled in); the runtime only carries it out. The shape follows the OCI runtime specification where that has a
word, but it is not `config.json`: layers and log file are part of it, hooks are not.
"""

from __future__ import annotations

from typing import TypedDict


class MountSpec(TypedDict):
    """One mount inside the root.

    Keys:
        kind: `bind`, `image`, or a file system type (`proc`, `sysfs`, `tmpfs`, `mqueue`, `cgroup2`).
        source: host path of a bind; empty otherwise.
        subpath: the part of a bind's source or of an image that is mounted, which never leads out of it; "" for all.
        target: absolute path in the container.
        flags: of `ro rro nosuid nodev noexec strictatime rec`; `rro` is read-only with all that is mounted below.
        options: file system parameters (`size=65536k`), an image's layer directories, topmost first; none for binds.
        propagation: `private`, `rprivate`, `slave` ... ; "" means private.
    """

    kind: str
    source: str
    subpath: str
    target: str
    flags: list[str]
    options: list[str]
    propagation: str


class DeviceNode(TypedDict):
    """A device node to make in /dev.

    Keys:
        path: absolute path in the container.
        type: `c` or `b`.
        major: device number.
        minor: device number.
        mode: permission bits.
        uid: owner.
        gid: group.
    """

    path: str
    type: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int


class InterfaceSpec(TypedDict):
    """An interface of the container on a bridge; the runtime makes it while init mounts.

    Keys:
        bridge: name of the bridge.
        host_name: name of the veth end on the bridge.
        name: name of the interface inside (`eth0`).
        addresses: in CIDR form.
        gateways: default routes, one for each IP version; none for an interface that does not lead out.
        mac: hardware address `02:42:...`.
        mtu: bytes; 0 leaves the default.
        isolated: whether it may talk to the bridge only.
    """

    bridge: str
    host_name: str
    name: str
    addresses: list[str]
    gateways: list[str]
    mac: str
    mtu: int
    isolated: bool


class ProcessSpec(TypedDict):
    """What runs, as whom, and how it is confined. The same for a container's first process and for an exec.

    Keys:
        args: program and its arguments; the program is sought in PATH of `env`.
        env: `NAME=value` strings.
        cwd: working directory; made when missing.
        user: as given to Docker: `user`, `uid`, `user:group`, `uid:gid`, "".
        groups: supplementary groups, names or numbers.
        capabilities: bounding set; also permitted and effective when the user is root.
        no_new_privileges: set PR_SET_NO_NEW_PRIVS.
        seccomp: path of a compiled filter; "" for none.
        rlimits: `[name number, soft, hard]`.
        oom_score_adj: -1000..1000, or None.
        terminal: whether it has one.
        height: rows of the terminal; 0 unknown.
        width: columns of the terminal; 0 unknown.
        stdin: whether stdin stays open for attached clients; otherwise it is /dev/null.
        stdin_once: whether stdin ends with the first client that ends.
    """

    args: list[str]
    env: list[str]
    cwd: str
    user: str
    groups: list[str]
    capabilities: int
    no_new_privileges: bool
    seccomp: str
    rlimits: list[list[int]]
    oom_score_adj: int | None
    terminal: bool
    height: int
    width: int
    stdin: bool
    stdin_once: bool


class DeviceRuleSpec(TypedDict):
    """One rule of the device controller; `major` and `minor` -1 mean any."""

    allow: bool
    type: str
    major: int
    minor: int
    access: str


class CgroupSpec(TypedDict):
    """The container's cgroup.

    Keys:
        path: absolute directory, made by the runtime; "" where the host has no cgroup v2.
        writes: `[file, value]` in order.
        devices: rules of the device controller; None allows everything.
    """

    path: str
    writes: list[list[str]]
    devices: list[DeviceRuleSpec] | None


class LogSpec(TypedDict):
    """Where output is kept.

    Keys:
        path: JSON-lines file; "" keeps nothing.
        max_size: bytes after which the file is rotated; 0 never.
        max_file: how many files are kept.
    """

    path: str
    max_size: int
    max_file: int


class ContainerSpec(TypedDict):
    """Everything about one container.

    Keys:
        id: its full id.
        hostname: UTS host name.
        domainname: UTS domain name.
        layers: read-only layer directories, topmost first.
        upper: writable directory of the overlay.
        work: overlay's work directory, on the same file system.
        volatile: skip syncing the writable layer, for containers that are removed when they end.
        stop_signal: what asks it to end when the engine is shut down.
        mount_point: an empty directory of the engine on which the root is assembled, in the container's namespace.
        read_only: whether the root is remounted read-only at the end.
        namespaces: names of the namespaces it gets of its own: `mnt pid net ipc uts cgroup`.
        joins: namespaces it shares with other containers: name and the other's id.
        mounts: in order.
        devices: nodes to make.
        masked: paths hidden.
        read_only_paths: paths made read-only.
        sysctls: `/proc/sys` names with dots, and their values.
        interfaces: besides loopback.
        resolver: whether it gets sockets on which the engine answers name queries (see `init`).
        cgroup: where its processes are counted and limited.
        log: where its output goes.
        process: what runs.
    """

    id: str
    hostname: str
    domainname: str
    layers: list[str]
    upper: str
    work: str
    volatile: bool
    stop_signal: int
    mount_point: str
    read_only: bool
    namespaces: list[str]
    joins: dict[str, str]
    mounts: list[MountSpec]
    devices: list[DeviceNode]
    masked: list[str]
    read_only_paths: list[str]
    sysctls: dict[str, str]
    interfaces: list[InterfaceSpec]
    resolver: bool
    cgroup: CgroupSpec
    log: LogSpec
    process: ProcessSpec
