"""From the flags of `run` and `create` to the request the engine gets: one pure function."""

from __future__ import annotations

from collections.abc import Mapping

from . import attachments, publish, values
from .mounts import parse_mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..client.types import CreateRequest, HostConfig

API_SOCKET = "/var/run/docker.sock"
"""Where clients look for an engine."""

STREAMS = ("stdin", "stdout", "stderr")


class ContainerOptions:
    """What the flags said, unchanged except that files have been read (environment, labels, seccomp profiles).

    Not a dataclass: to generate one of fifty fields takes 5 ms, which every command would pay.
    """

    image: str
    command: tuple[str, ...] = ()
    add_host: tuple[str, ...] = ()
    annotation: tuple[str, ...] = ()
    api_socket: str = "/run/docker.sock"
    attach: tuple[str, ...] = ()
    blkio_weight: int | None = None
    blkio_weight_device: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    cgroup_parent: str | None = None
    cgroupns: str | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpu_rt_period: int | None = None
    cpu_rt_runtime: int | None = None
    cpu_shares: int | None = None
    cpus: str | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    detach: bool = False
    device: tuple[str, ...] = ()
    device_cgroup_rule: tuple[str, ...] = ()
    device_read_bps: tuple[str, ...] = ()
    device_read_iops: tuple[str, ...] = ()
    device_write_bps: tuple[str, ...] = ()
    device_write_iops: tuple[str, ...] = ()
    disable_content_trust: bool = False
    dns: tuple[str, ...] = ()
    dns_option: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    domainname: str | None = None
    entrypoint: str | None = None
    env: tuple[str, ...] = ()
    env_file: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    gpus: str | None = None
    group_add: tuple[str, ...] = ()
    health_cmd: str | None = None
    health_interval: str | None = None
    health_retries: int | None = None
    health_start_interval: str | None = None
    health_start_period: str | None = None
    health_timeout: str | None = None
    hostname: str | None = None
    init: bool = False
    interactive: bool = False
    ip6: str | None = None
    ip: str | None = None
    ipc: str | None = None
    isolation: str | None = None
    kernel_memory: str | None = None
    label: tuple[str, ...] = ()
    link: tuple[str, ...] = ()
    link_local_ip: tuple[str, ...] = ()
    log_driver: str | None = None
    log_opt: tuple[str, ...] = ()
    mac_address: str | None = None
    memory: str | None = None
    memory_reservation: str | None = None
    memory_swap: str | None = None
    memory_swappiness: int | None = None
    mount: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    network_alias: tuple[str, ...] = ()
    no_healthcheck: bool = False
    oom_kill_disable: bool = False
    oom_score_adj: int | None = None
    pid: str | None = None
    pids_limit: int | None = None
    privileged: bool = False
    publish: tuple[str, ...] = ()
    publish_all: bool = False
    pull: str | None = None
    quiet: bool = False
    read_only: bool = False
    restart: str | None = None
    rm: bool = False
    runtime: str | None = None
    security_opt: tuple[str, ...] = ()
    shm_size: str | None = None
    stop_signal: str | None = None
    stop_timeout: int | None = None
    storage_opt: tuple[str, ...] = ()
    sysctl: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    tty: bool = False
    ulimit: tuple[str, ...] = ()
    use_api_socket: bool = False
    user: str | None = None
    userns: str | None = None
    uts: str | None = None
    volume: tuple[str, ...] = ()
    volume_driver: str | None = None
    volumes_from: tuple[str, ...] = ()
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
    environment = values.resolve_environment(options.env, environ, options.env_file)
    _, anonymous = values.split_volumes(options.volume)
    endpoints = attachments.build_endpoints(options)
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
        "ExposedPorts": _build_exposed(options) or None,
        "Healthcheck": _build_health(options),
        "NetworkingConfig": {"EndpointsConfig": endpoints} if endpoints else None,
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
    if options.gpus:
        raise ValueError("no GPU is available to containers: leave out --gpus")
    if not -1 <= (options.memory_swappiness or 0) <= 100:
        raise ValueError(f"invalid --memory-swappiness: {options.memory_swappiness} (use 0 to 100)")
    if options.pull == "always":
        raise ValueError("--pull=always: images are not pulled yet; load them, and leave out --pull")
    if options.pull not in (None, "missing", "never"):
        raise ValueError(f"invalid --pull: {options.pull!r} (use always, missing or never)")


def _build_exposed(options: ContainerOptions) -> dict[str, dict[str, Any]]:
    """Published ports are exposed, too."""
    return {port: {} for port in [*publish.parse_publish(options.publish), *publish.parse_expose(options.expose)]}


def _build_health(options: ContainerOptions) -> dict[str, Any] | None:
    durations = {
        "Interval": ("--health-interval", options.health_interval),
        "Timeout": ("--health-timeout", options.health_timeout),
        "StartPeriod": ("--health-start-period", options.health_start_period),
        "StartInterval": ("--health-start-interval", options.health_start_interval),
    }
    check: dict[str, Any] = {
        field: values.parse_duration(text, flag) for field, (flag, text) in durations.items() if text is not None
    }
    if options.health_cmd:
        check["Test"] = ["CMD-SHELL", options.health_cmd]
    if options.health_retries is not None:
        if options.health_retries < 0:
            raise ValueError("--health-retries cannot be negative")
        check["Retries"] = options.health_retries
    if options.no_healthcheck:
        if check:
            raise ValueError("conflicting options: --no-healthcheck and --health-*")
        return {"Test": ["NONE"]}
    return check or None


def _build_host_config(options: ContainerOptions) -> HostConfig:
    config = {**_build_limits(options), **_build_privileges(options), **_build_network(options)}
    config |= _build_files(options)
    config |= {
        "Annotations": values.parse_labels(options.annotation) or None,
        "AutoRemove": options.rm or None,
        "Init": options.init or None,
        "IpcMode": options.ipc,
        "Isolation": options.isolation,
        "PidMode": options.pid,
        "UTSMode": options.uts,
        "UsernsMode": options.userns,
        "CgroupnsMode": options.cgroupns,
        "LogConfig": _build_log_config(options),
        "RestartPolicy": values.parse_restart(options.restart) if options.restart else None,
        "Runtime": options.runtime,
        "Sysctls": values.parse_labels(options.sysctl) or None,
    }
    return _without_none(config)  # type: ignore[return-value]


def _build_files(options: ContainerOptions) -> dict[str, object]:
    binds, _ = values.split_volumes(options.volume)
    mounts = [parse_mount(text) for text in options.mount]
    if options.use_api_socket:
        mounts.append({"Type": "bind", "Source": options.api_socket, "Target": API_SOCKET})
    return {
        "Binds": binds or None,
        "Mounts": mounts or None,
        "ReadonlyRootfs": options.read_only or None,
        "ShmSize": values.parse_size(options.shm_size) if options.shm_size else None,
        "StorageOpt": values.parse_pairs(options.storage_opt, "--storage-opt") or None,
        "Tmpfs": values.parse_tmpfs(options.tmpfs) or None,
        "VolumeDriver": options.volume_driver,
        "VolumesFrom": list(options.volumes_from) or None,
    }


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _build_limits(options: ContainerOptions) -> dict[str, object]:
    return {
        **_build_memory(options),
        **_build_disk(options),
        "CgroupParent": options.cgroup_parent,
        "CpuPeriod": options.cpu_period,
        "CpuQuota": options.cpu_quota,
        "CpuRealtimePeriod": options.cpu_rt_period,
        "CpuRealtimeRuntime": options.cpu_rt_runtime,
        "CpuShares": options.cpu_shares,
        "CpusetCpus": options.cpuset_cpus,
        "CpusetMems": options.cpuset_mems,
        "NanoCpus": values.parse_cpus(options.cpus) if options.cpus else None,
        "OomKillDisable": options.oom_kill_disable or None,
        "OomScoreAdj": options.oom_score_adj,
        "PidsLimit": options.pids_limit,
        "Ulimits": [values.parse_ulimit(text) for text in options.ulimit] or None,
    }


def _build_memory(options: ContainerOptions) -> dict[str, object]:
    return {
        "KernelMemory": values.parse_size(options.kernel_memory) if options.kernel_memory else None,
        "Memory": values.parse_size(options.memory) if options.memory else None,
        "MemoryReservation": values.parse_size(options.memory_reservation) if options.memory_reservation else None,
        "MemorySwap": values.parse_swap(options.memory_swap) if options.memory_swap else None,
        "MemorySwappiness": options.memory_swappiness,
    }


def _build_disk(options: ContainerOptions) -> dict[str, object]:
    rates = {
        "BlkioDeviceReadBps": (options.device_read_bps, True),
        "BlkioDeviceWriteBps": (options.device_write_bps, True),
        "BlkioDeviceReadIOps": (options.device_read_iops, False),
        "BlkioDeviceWriteIOps": (options.device_write_iops, False),
    }
    limits: dict[str, object] = {
        name: [values.parse_device_rate(text, sizes=sizes) for text in texts] or None
        for name, (texts, sizes) in rates.items()
    }
    limits["BlkioWeight"] = options.blkio_weight
    limits["BlkioWeightDevice"] = [values.parse_device_weight(text) for text in options.blkio_weight_device] or None
    return limits


def _build_privileges(options: ContainerOptions) -> dict[str, object]:
    add, drop = values.parse_capabilities(options.cap_add, options.cap_drop)
    return {
        "CapAdd": add or None,
        "CapDrop": drop or None,
        "Devices": [values.parse_device(text) for text in options.device] or None,
        "DeviceCgroupRules": [values.check_device_rule(text) for text in options.device_cgroup_rule] or None,
        "GroupAdd": list(options.group_add) or None,
        "Privileged": options.privileged or None,
        "SecurityOpt": list(options.security_opt) or None,
    }


def _build_network(options: ContainerOptions) -> dict[str, object]:
    return {
        "Dns": list(options.dns) or None,
        "DnsOptions": list(options.dns_option) or None,
        "DnsSearch": list(options.dns_search) or None,
        "ExtraHosts": list(options.add_host) or None,
        "Links": list(options.link) or None,
        "NetworkMode": attachments.network_mode(options),
        "PortBindings": publish.parse_publish(options.publish) or None,
        "PublishAllPorts": options.publish_all or None,
    }


def _build_log_config(options: ContainerOptions) -> dict[str, object] | None:
    if not options.log_driver and not options.log_opt:
        return None
    return {"Type": options.log_driver or "", "Config": values.parse_labels(options.log_opt)}
