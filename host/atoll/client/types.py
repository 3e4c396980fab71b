"""The shapes of what is sent to the engine and answered by it, in the engine's own spelling.

Only the fields the host reads or writes; an answer may hold more. The full schema is Docker's `swagger.yaml`. Imported
for type checking only: to make a class of every shape would cost each command some milliseconds.
"""

from __future__ import annotations

from typing import Any, Protocol, TypedDict


class Endpoint(Protocol):
    """Where an engine answers; `machine.endpoint.Endpoint` is one."""

    @property
    def kind(self) -> str:
        """`unix`, `tcp` or `npipe`."""

    @property
    def address(self) -> str:
        """A path, `host:port` or a pipe's name."""

    @property
    def token(self) -> str:
        """The secret that a loopback TCP connection begins with; "" for none."""


class Stream(Protocol):
    """A connected byte stream."""

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes; b"" at the end."""

    def sendall(self, data: bytes) -> None:
        """Send all of the bytes."""

    def shutdown_write(self) -> None:
        """Say that nothing more will be sent; reading goes on."""

    def is_stale(self) -> bool:
        """Whether the other end closed while the stream was idle."""

    def close(self) -> None:
        """Close both directions; wakes a thread that is blocked in `recv`."""


class DeviceMapping(TypedDict):
    """A device of the machine, made visible in a container."""

    PathOnHost: str
    PathInContainer: str
    CgroupPermissions: str


class Mount(TypedDict, total=False):
    """One `--mount`."""

    Type: str
    Source: str
    Target: str
    ReadOnly: bool
    Consistency: str
    BindOptions: dict[str, Any]
    VolumeOptions: dict[str, Any]
    ImageOptions: dict[str, Any]
    TmpfsOptions: dict[str, Any]


class HostConfig(TypedDict, total=False):
    """What a container gets from the machine: limits, mounts, privileges."""

    Annotations: dict[str, str]
    AutoRemove: bool
    Binds: list[str]
    BlkioDeviceReadBps: list[dict[str, Any]]
    BlkioDeviceReadIOps: list[dict[str, Any]]
    BlkioDeviceWriteBps: list[dict[str, Any]]
    BlkioDeviceWriteIOps: list[dict[str, Any]]
    BlkioWeight: int
    BlkioWeightDevice: list[dict[str, Any]]
    CapAdd: list[str]
    CapDrop: list[str]
    CgroupParent: str
    CgroupnsMode: str
    ConsoleSize: list[int]
    ContainerIDFile: str
    CpuPeriod: int
    CpuQuota: int
    CpuRealtimePeriod: int
    CpuRealtimeRuntime: int
    CpuShares: int
    CpusetCpus: str
    CpusetMems: str
    DeviceCgroupRules: list[str]
    Devices: list[DeviceMapping]
    Dns: list[str]
    DnsOptions: list[str]
    DnsSearch: list[str]
    ExtraHosts: list[str]
    GroupAdd: list[str]
    Init: bool
    IpcMode: str
    Isolation: str
    KernelMemory: int
    Links: list[str]
    LogConfig: dict[str, Any]
    Memory: int
    MemoryReservation: int
    MemorySwap: int
    MemorySwappiness: int
    Mounts: list[Mount]
    NanoCpus: int
    NetworkMode: str
    OomKillDisable: bool
    OomScoreAdj: int
    PidMode: str
    PidsLimit: int
    PortBindings: dict[str, list[dict[str, str]]]
    Privileged: bool
    PublishAllPorts: bool
    ReadonlyRootfs: bool
    RestartPolicy: dict[str, Any]
    Runtime: str
    SecurityOpt: list[str]
    ShmSize: int
    StorageOpt: dict[str, str]
    Sysctls: dict[str, str]
    Tmpfs: dict[str, str]
    UTSMode: str
    Ulimits: list[dict[str, Any]]
    UsernsMode: str
    VolumeDriver: str
    VolumesFrom: list[str]


class CreateRequest(TypedDict, total=False):
    """Body of `POST /containers/create`."""

    AttachStderr: bool
    AttachStdin: bool
    AttachStdout: bool
    Cmd: list[str]
    Domainname: str
    Entrypoint: list[str]
    Env: list[str]
    ExposedPorts: dict[str, dict[str, Any]]
    Healthcheck: dict[str, Any]
    HostConfig: HostConfig
    Hostname: str
    Image: str
    Labels: dict[str, str]
    NetworkingConfig: dict[str, Any]
    OpenStdin: bool
    StdinOnce: bool
    StopSignal: str
    StopTimeout: int
    Tty: bool
    User: str
    Volumes: dict[str, dict[str, Any]]
    WorkingDir: str


class ContainerCreated(TypedDict):
    """Answer of `POST /containers/create`."""

    Id: str
    Warnings: list[str] | None


class Port(TypedDict, total=False):
    """A port in the list of containers."""

    IP: str
    PrivatePort: int
    PublicPort: int
    Type: str


class ContainerSummary(TypedDict, total=False):
    """A row of `GET /containers/json`."""

    Id: str
    Names: list[str]
    Image: str
    ImageID: str
    Command: str
    Created: int
    Ports: list[Port]
    Labels: dict[str, str]
    State: str
    Status: str
    SizeRw: int
    SizeRootFs: int
    NetworkSettings: dict[str, Any]
    Mounts: list[dict[str, Any]]


class ImageSummary(TypedDict, total=False):
    """A row of `GET /images/json`."""

    Id: str
    RepoTags: list[str] | None
    RepoDigests: list[str] | None
    Created: int
    Size: int
    SharedSize: int
    Containers: int
    Labels: dict[str, str] | None


class WaitResult(TypedDict, total=False):
    """Answer of `POST /containers/{id}/wait`."""

    StatusCode: int
    Error: dict[str, str] | None


class ExecRequest(TypedDict, total=False):
    """Body of `POST /containers/{id}/exec`."""

    AttachStderr: bool
    AttachStdin: bool
    AttachStdout: bool
    Cmd: list[str]
    ConsoleSize: list[int]
    DetachKeys: str
    Env: list[str]
    Privileged: bool
    Tty: bool
    User: str
    WorkingDir: str


class Version(TypedDict, total=False):
    """Answer of `GET /version`."""

    Version: str
    ApiVersion: str
    MinAPIVersion: str
    GitCommit: str
    Os: str
    Arch: str
    KernelVersion: str
    BuildTime: str
    Platform: dict[str, str]
    Components: list[dict[str, Any]]
