"""What the engine says of itself and of the system it runs on."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..api.version import API_VERSION, MIN_API_VERSION
from ..cgroups.hierarchy import Hierarchy
from ..images.store import NATIVE_ARCHITECTURE, ImageStore
from ..linux.processors import count_processors
from ..runtime.log_file import format_time
from .containers import Containers
from .records import RUNNING


@dataclass(frozen=True)
class Identity:
    """What tells this engine from others.

    Attributes:
        id: made once, kept on disk.
        name: host name.
        machine: name of the machine; "" for the native driver.
        accelerator: what runs the machine; "" for the native driver.
        data_root: where everything lies.
    """

    id: str
    name: str
    machine: str
    accelerator: str
    data_root: Path


def describe_version() -> dict[str, Any]:
    """`GET /version`."""
    kernel = platform.release()
    details = {"ApiVersion": API_VERSION, "MinAPIVersion": MIN_API_VERSION, "Os": "linux", "Arch": NATIVE_ARCHITECTURE}
    return {
        "Platform": {"Name": "Atoll"},
        "Components": [
            {"Name": "Engine", "Version": __version__, "Details": {**details, "KernelVersion": kernel}},
            {"Name": "python", "Version": platform.python_version(), "Details": {}},
        ],
        "Version": __version__,
        **details,
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": kernel,
        "BuildTime": "",
    }


def describe_info(
    identity: Identity, containers: Containers, images: ImageStore, hierarchy: Hierarchy
) -> dict[str, Any]:
    """`GET /info`."""
    states = [container.state.status for container in containers.all()]
    paused = sum(container.state.paused for container in containers.all())
    has = hierarchy.controllers.__contains__
    operating_system = "Atoll machine" if identity.machine else _os_name()
    return {
        "ID": identity.id,
        "Containers": len(states),
        "ContainersRunning": states.count(RUNNING) - paused,
        "ContainersPaused": paused,
        "ContainersStopped": len(states) - states.count(RUNNING),
        "Images": len(images.list_images()),
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "extfs"], ["Supports d_type", "true"]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": ["json-file", "local", "none"],
        },
        "MemoryLimit": has("memory"),
        "SwapLimit": has("memory"),
        "CpuCfsPeriod": has("cpu"),
        "CpuCfsQuota": has("cpu"),
        "CPUShares": has("cpu"),
        "CPUSet": has("cpuset"),
        "PidsLimit": has("pids"),
        "OomKillDisable": False,
        "IPv4Forwarding": True,
        "Debug": False,
        "NFd": len(os.listdir("/proc/self/fd")),
        "NGoroutines": 0,
        "SystemTime": format_time(time.time_ns()),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2",
        "NEventsListener": 0,
        "KernelVersion": platform.release(),
        "OperatingSystem": operating_system,
        "OSVersion": "",
        "OSType": "linux",
        "Architecture": platform.machine(),
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {"InsecureRegistryCIDRs": ["127.0.0.0/8"], "IndexConfigs": {}, "Mirrors": []},
        "NCPU": count_processors(),
        "MemTotal": _memory_bytes(),
        "GenericResources": None,
        "DockerRootDir": str(identity.data_root),
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": identity.name,
        "Labels": [f"atoll.machine={identity.machine}", f"atoll.accelerator={identity.accelerator}"]
        if identity.machine
        else ["atoll.driver=native"],
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        # There is one, and clients that name Docker's mean it.
        "Runtimes": {"atoll": {"path": "atoll"}, "runc": {"path": "atoll"}},
        "DefaultRuntime": "runc",
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "tini",
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
        "Warnings": [],
    }


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
