"""The agent process: wires stores, engine and server together, recovers what runs, then serves."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .cgroups.hierarchy import find_hierarchy
from .engine.confinement import FilterCache
from .engine.containers import Containers
from .engine.events import Events
from .engine.execs import Execs
from .engine.health import HealthChecks
from .engine.lifecycle import Lifecycle
from .engine.networking import Networking
from .engine.nouns.containers import ContainerNoun
from .engine.nouns.execs import ExecNoun, StreamNoun
from .engine.nouns.files import FileNoun
from .engine.nouns.images import ImageNoun
from .engine.nouns.networks import NetworkNoun
from .engine.nouns.system import SystemNoun
from .engine.nouns.volumes import VolumeNoun
from .engine.records import RecordStore
from .engine.supervision import Supervision
from .engine.system import Identity
from .engine.volumes import Volumes
from .images.store import ImageStore
from .network.bridge import BridgeDriver
from .network.networks import Networks
from .network.proxy import Proxy
from .network.publish import Publisher
from .network.records import NetworkStore
from .server.absent_routes import AbsentRoutes
from .server.container_routes import ContainerRoutes
from .server.exec_routes import ExecRoutes
from .server.file_routes import FileRoutes
from .server.image_routes import ImageRoutes
from .server.listen import Server
from .server.network_routes import NetworkRoutes
from .server.router import Router
from .server.system_routes import SERVER_HEADERS, SystemRoutes
from .server.volume_routes import VolumeRoutes
from .volumes.mounting import Mounting
from .volumes.store import VolumeStore

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Where an agent lives.

    Attributes:
        data_root: what must outlive a boot.
        run_directory: what need not; holds the supervisor's socket.
        socket_path: the unix socket on which the API answers.
        listeners: listening sockets, made by the supervisor and the same for every agent: a container may have bound
            the socket's file, and clients wait out a restart instead of failing.
        machine: the machine's name; "" for the native driver.
        accelerator: what runs the machine.
        boot: tells this life of the supervisor from another.
        bridge: name of the bridge and of the firewall table.
        host_gateway: what `host-gateway` means to containers; "" for the default bridge's own address.
        make_publisher: makes what opens ports to the outside.
        load_network: loads the kernel modules of bridges and firewall.
        serve_channel: serves the machine's channel with a server; None for the native driver.
    """

    data_root: Path
    run_directory: Path
    socket_path: Path
    listeners: tuple[socket.socket, ...]
    machine: str = ""
    accelerator: str = ""
    boot: str = ""
    bridge: str = "atoll0"
    host_gateway: str = ""
    make_publisher: Callable[[], Publisher] = Proxy
    load_network: Callable[[], None] = lambda: None
    serve_channel: Callable[[Server, Publisher], None] | None = None

    @property
    def inherited(self) -> tuple[int, ...]:
        """The descriptors that each agent gets from the supervisor."""
        return tuple(listener.fileno() for listener in self.listeners)

    @property
    def supervisor_socket(self) -> str:
        """Where the supervisor listens."""
        return str(self.run_directory / "supervisor.sock")


INIT_PROGRAMS = ("/usr/bin/tini-static", "/usr/bin/tini", "/usr/bin/docker-init")


def run_agent(settings: Settings) -> None:
    """Serve until SIGTERM or until the supervisor is gone."""
    settings.data_root.mkdir(parents=True, exist_ok=True)
    settings.data_root.chmod(0o710)  # set-user-id programs of layers are not for the machine's users (CVE-2021-41091)
    images, hierarchy, events = ImageStore(settings.data_root), find_hierarchy(), Events()
    volumes = Volumes(VolumeStore(settings.data_root), images, events, Mounting(), socket=str(settings.socket_path))
    supervision = Supervision(settings.supervisor_socket)
    driver = BridgeDriver(settings.bridge, settings.load_network)
    networks = Networks(NetworkStore(settings.data_root), driver, settings.bridge)
    filters = FilterCache(settings.run_directory / "seccomp")
    containers = Containers(RecordStore(settings.data_root), images, volumes, networks, hierarchy, events)
    publisher = settings.make_publisher()
    networking = Networking(networks, containers, supervision, events, publisher, settings.host_gateway)
    lifecycle = Lifecycle(
        containers,
        supervision,
        networking,
        filters,
        events,
        boot=settings.boot,
        run_directory=settings.run_directory,
        init_program=next((p for p in INIT_PROGRAMS if os.access(p, os.X_OK)), ""),
    )
    execs = Execs(containers, supervision, filters, events)
    lifecycle.exec_ended = execs.on_end
    lifecycle.on_running = HealthChecks(containers, execs, supervision, events).watch
    lifecycle.recover()
    stop = threading.Event()
    supervision.watch(lifecycle.on_end, lifecycle.close, stop.set)
    identity = Identity(
        _engine_id(settings.data_root), os.uname().nodename, settings.machine, settings.accelerator, settings.data_root
    )
    streams = StreamNoun(supervision)
    tables = (
        SystemRoutes(SystemNoun(identity, containers, networks, events, supervision)),
        ContainerRoutes(ContainerNoun(containers, lifecycle, supervision, networks, networking), streams),
        ExecRoutes(ExecNoun(execs, containers, supervision), streams),
        FileRoutes(FileNoun(containers, lifecycle, events, settings.run_directory / "view")),
        ImageRoutes(ImageNoun(images, containers, events)),
        VolumeRoutes(VolumeNoun(volumes)),
        NetworkRoutes(NetworkNoun(networks, networking, containers, events)),
        AbsentRoutes(),
    )
    server = Server(Router((route for table in tables for route in table.routes()), SERVER_HEADERS))
    for listener in settings.listeners:
        server.serve_listener(listener)
    if settings.serve_channel:
        settings.serve_channel(server, publisher)
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    threading.Thread(target=lifecycle.resume, name="resume", daemon=True).start()
    stop.wait()
    if not settings.machine:
        networks.close()


def _engine_id(data_root: Path) -> str:
    path = data_root / "engine-id"
    if not path.exists():
        path.write_text(secrets.token_hex(16))
    return path.read_text()


def main(settings: Settings) -> int:
    """Run as the supervisor's child; an error is logged and told by the exit status."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="atoll-agent: %(levelname)s %(name)s: %(message)s"
    )
    try:
        run_agent(settings)
    except Exception:
        log.exception("the agent ends")
        return 1
    return 0
