"""From the flags of `run` and `create` to the request the engine gets: one pure function."""

from __future__ import annotations

from collections.abc import Mapping

from . import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..client.types import CreateRequest, HostConfig

STREAMS = ("stdin", "stdout", "stderr")


class ContainerOptions:
    """What the flags said, unchanged except that files have been read (`env_file`, seccomp profiles).

    Not a dataclass: to generate one of fifty fields takes 5 ms, which every command would pay.
    """

    image: str
    command: tuple[str, ...] = ()
    add_host: tuple[str, ...] = ()
    attach: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    cgroup_parent: str | None = None
    cgroupns: str | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpu_shares: int | None = None
    cpus: str | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    detach: bool = False
    device: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    domainname: str | None = None
    entrypoint: str | None = None
    env: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    hostname: str | None = None
    init: bool = False
    interactive: bool = False
    ipc: str | None = None
    label: tuple[str, ...] = ()
    log_driver: str | None = None
    log_opt: tuple[str, ...] = ()
    memory: str | None = None
    memory_reservation: str | None = None
    memory_swap: str | None = None
    mount: tuple[str, ...] = ()
    network: str | None = None
    oom_kill_disable: bool = False
    oom_score_adj: int | None = None
    pid: str | None = None
    pids_limit: int | None = None
    privileged: bool = False
    read_only: bool = False
    restart: str | None = None
    rm: bool = False
    security_opt: tuple[str, ...] = ()
    shm_size: str | None = None
    stop_signal: str | None = None
    stop_timeout: int | None = None
    sysctl: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    tty: bool = False
    ulimit: tuple[str, ...] = ()
    user: str | None = None
    uts: str | None = None
    volume: tuple[str, ...] = ()
    workdir: str | None = None

    def __init__(self, image: str, **flags: Any) -> None:
        self.image = image
        for name, value in flags.items():
            if not hasattr(type(self), name):
                raise TypeError(f"no such option: {name}")
            setattr(self, name, value)

    @property
    def streams(self) -> frozenset[str]:
        """The streams the command is attached to: those of `-a`, or output always and input with `-i`."""
        if self.detach:
            return frozenset()
        if self.attach:
            return frozenset(name.lower() for name in self.attach)
        return frozenset(STREAMS if self.interactive else STREAMS[1:])


def build_create_request(options: ContainerOptions, environ: Mapping[str, str]) -> CreateRequest:
    """Build the body of `POST /containers/create`; what was not asked for is left out.

    Arguments:
        environ: where `-e NAME` without a value finds it.

    Raises:
        ValueError: a flag's value makes no sense, or two flags contradict each other.
    """
    _check(options)
    request: CreateRequest = {
        "Image": options.image,
        "AttachStdin": options.interactive and "stdin" in options.streams,
        "AttachStdout": "stdout" in options.streams,
        "AttachStderr": "stderr" in options.streams,
        "OpenStdin": options.interactive,
        "StdinOnce": options.interactive and "stdin" in options.streams,
        "Tty": options.tty,
        "HostConfig": _build_host_config(options),
    }
    environment = values.resolve_environment(options.env, environ)
    _, anonymous = values.split_volumes(options.volume)
    optional = {
        "Cmd": list(options.command) or None,
        "Entrypoint": None if options.entrypoint is None else [options.entrypoint] if options.entrypoint else [""],
        "Env": environment or None,
        "Labels": values.parse_labels(options.label) or None,
        "Volumes": anonymous or None,
        "Hostname": options.hostname,
        "Domainname": options.domainname,
        "User": options.user,
        "WorkingDir": options.workdir,
        "StopSignal": options.stop_signal,
        "StopTimeout": options.stop_timeout,
    }
    return {**request, **_without_none(optional)}  # type: ignore[typeddict-item]


def _check(options: ContainerOptions) -> None:
    unknown = {name.lower() for name in options.attach} - set(STREAMS)
    if unknown:
        raise ValueError(f"invalid stream to attach to: {sorted(unknown)[0]!r} (use stdin, stdout or stderr)")
    if options.detach and options.attach:
        raise ValueError("conflicting options: -a and -d")
    if options.rm and options.restart not in (None, "no"):
        raise ValueError("conflicting options: --restart and --rm")
    if options.cpus and (options.cpu_period or options.cpu_quota):
        raise ValueError("conflicting options: --cpus and --cpu-period or --cpu-quota")


def _build_host_config(options: ContainerOptions) -> HostConfig:
    binds, _ = values.split_volumes(options.volume)
    config = {**_build_limits(options), **_build_privileges(options), **_build_network(options)}
    config |= {
        "AutoRemove": options.rm or None,
        "Binds": binds or None,
        "Init": options.init or None,
        "IpcMode": options.ipc,
        "PidMode": options.pid,
        "UTSMode": options.uts,
        "CgroupnsMode": options.cgroupns,
        "LogConfig": _build_log_config(options),
        "Mounts": [values.parse_mount(text) for text in options.mount] or None,
        "ReadonlyRootfs": options.read_only or None,
        "RestartPolicy": values.parse_restart(options.restart) if options.restart else None,
        "ShmSize": values.parse_size(options.shm_size) if options.shm_size else None,
        "Sysctls": values.parse_labels(options.sysctl) or None,
        "Tmpfs": values.parse_tmpfs(options.tmpfs) or None,
    }
    return _without_none(config)  # type: ignore[return-value]


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _build_limits(options: ContainerOptions) -> dict[str, object]:
    return {
        "CgroupParent": options.cgroup_parent,
        "CpuPeriod": options.cpu_period,
        "CpuQuota": options.cpu_quota,
        "CpuShares": options.cpu_shares,
        "CpusetCpus": options.cpuset_cpus,
        "CpusetMems": options.cpuset_mems,
        "Memory": values.parse_size(options.memory) if options.memory else None,
        "MemoryReservation": values.parse_size(options.memory_reservation) if options.memory_reservation else None,
        "MemorySwap": values.parse_swap(options.memory_swap) if options.memory_swap else None,
        "NanoCpus": values.parse_cpus(options.cpus) if options.cpus else None,
        "OomKillDisable": options.oom_kill_disable or None,
        "OomScoreAdj": options.oom_score_adj,
        "PidsLimit": options.pids_limit,
        "Ulimits": [values.parse_ulimit(text) for text in options.ulimit] or None,
    }


def _build_privileges(options: ContainerOptions) -> dict[str, object]:
    return {
        "CapAdd": list(options.cap_add) or None,
        "CapDrop": list(options.cap_drop) or None,
        "Devices": [values.parse_device(text) for text in options.device] or None,
        "GroupAdd": list(options.group_add) or None,
        "Privileged": options.privileged or None,
        "SecurityOpt": list(options.security_opt) or None,
    }


def _build_network(options: ContainerOptions) -> dict[str, object]:
    return {
        "Dns": list(options.dns) or None,
        "ExtraHosts": list(options.add_host) or None,
        "NetworkMode": options.network,
    }


def _build_log_config(options: ContainerOptions) -> dict[str, object] | None:
    if not options.log_driver and not options.log_opt:
        return None
    return {"Type": options.log_driver or "", "Config": values.parse_labels(options.log_opt)}
