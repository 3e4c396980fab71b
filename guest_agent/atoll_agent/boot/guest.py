"""What the first process of a machine does before it becomes the supervisor.

The order is the order of need: file systems of the kernel, the seed, the network interface, the data disk. Modules for
containers' networks are loaded when the first container needs them.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import struct
import sys
import time
import uuid
from pathlib import Path

from ..agent import Settings, main
from ..api.seed import DATA_SERIAL, NetworkSeed, Seed, parse_seed
from ..linux import links, mounts
from ..linux.netlink import Netlink
from ..network.publish import HostPorts, Publisher
from ..runtime.service import Service
from ..server.listen import Server, listen_unix
from .disks import find_disk, mount_data, release
from .modules import MACHINE, NETWORK, STORAGE, Modules

SEED_FILE = Path("/run/atoll/seed.json")
DATA_ROOT = Path("/var/lib/atoll")
RUN_DIRECTORY = Path("/run/atoll/engine")
SOCKET = Path("/run/docker.sock")
"""Where containers that are to have the engine look for it, too: /var/run is /run."""
SSH_DIRECTORY = Path("/run/atoll/ssh")
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
REBOOT_POWER_OFF = 0x4321FEDC


def boot() -> int:
    """Run the machine; never returns but by powering it off."""
    try:
        seed = prepare()
        run(seed)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        print("atoll-boot: the machine cannot start; see the lines above", file=sys.stderr, flush=True)
    power_off()
    return 1


def prepare() -> Seed:
    """Make the machine ready for the engine."""
    os.umask(0o022)
    seed = parse_seed(SEED_FILE.read_text())
    set_clock(seed.time_ns)
    mount_kernel_file_systems()
    socket.sethostname(seed.hostname)
    modules = Modules()
    modules.load(STORAGE + MACHINE)
    with contextlib.suppress(OSError):
        # Freed namespaces and cgroups wait for an RCU grace period; on a machine of our own it may be expedited.
        Path("/sys/kernel/rcu_expedited").write_text("1")
    with Netlink() as netlink:
        links.set_up(netlink, 1)
    if seed.network:
        configure_network(seed.network)
    write_ssh_files(seed)
    disk = find_disk(DATA_SERIAL)
    if disk:
        mount_data(disk, str(DATA_ROOT))
    return seed


def set_clock(time_ns: int) -> None:
    """Take the host's time where the machine's own clock is behind it."""
    if time_ns > time.time_ns():
        time.clock_settime_ns(time.CLOCK_REALTIME, time_ns)


def mount_kernel_file_systems() -> None:
    """What init has not mounted: tmpfs, terminals, shared memory, queues and cgroups."""
    safe = MS_NOSUID | MS_NODEV
    mounts.mount("tmpfs", "/tmp", "tmpfs", safe, "mode=1777")
    for name, kind, options in (("pts", "devpts", "mode=620,gid=5,ptmxmode=666"), ("shm", "tmpfs", "mode=1777")):
        Path("/dev", name).mkdir(exist_ok=True)
        mounts.mount(kind, f"/dev/{name}", kind, safe if name == "shm" else MS_NOSUID | MS_NOEXEC, options)
    Path("/dev/mqueue").mkdir(exist_ok=True)
    mounts.mount("mqueue", "/dev/mqueue", "mqueue", safe | MS_NOEXEC)
    mounts.mount("cgroup2", "/sys/fs/cgroup", "cgroup2", safe | MS_NOEXEC, "nsdelegate")
    # As every distribution has it: only then can a container share its mounts with the machine and with others.
    mounts.set_propagation("/", mounts.MS_REC | mounts.MS_SHARED)
    for target, source in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1")):
        with contextlib.suppress(FileExistsError):
            Path("/dev", target).symlink_to(source)


def configure_network(plan: NetworkSeed) -> None:
    """Configure the machine's own interface, statically: QEMU's user network never changes."""
    with Netlink() as netlink:
        index = socket.if_nametoindex("eth0")
        links.set_up(netlink, index)
        links.add_address(netlink, index, plan.address)
        links.add_default_route(netlink, index, plan.gateway)
    resolver = Path("/run/atoll/resolv.conf")
    resolver.write_text(f"nameserver {plan.dns}\n")


def write_ssh_files(seed: Seed) -> None:
    """The machine's SSH identity, in the file formats of dropbear."""
    if not seed.ssh_host_key:
        return
    SSH_DIRECTORY.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = base64.b64decode(seed.ssh_host_key)
    kind = b"ssh-ed25519"
    body = struct.pack(">I", len(kind)) + kind + struct.pack(">I", len(key)) + key
    for name, data in (("host_key", body), ("authorized_keys", "\n".join([*seed.authorized_keys, ""]).encode())):
        path = SSH_DIRECTORY / name
        path.write_bytes(data)
        path.chmod(0o600)


def run(seed: Seed) -> None:
    """Become the supervisor."""
    RUN_DIRECTORY.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = Settings(
        data_root=DATA_ROOT,
        run_directory=RUN_DIRECTORY,
        socket_path=SOCKET,
        listeners=(listen_unix(SOCKET),),
        machine=seed.machine,
        accelerator=seed.accelerator,
        boot=str(uuid.uuid4()),
        make_publisher=HostPorts,
        host_gateway=seed.network.gateway if seed.network else "",
        load_network=lambda: Modules().load(NETWORK),
        serve_channel=_serve_channel,
    )
    Service(settings.supervisor_socket, lambda: main(settings), _at_end, settings.inherited).run()


def _serve_channel(server: Server, ports: Publisher) -> None:
    from ..server.channel import serve_port
    from ..server.services import Services

    assert isinstance(ports, HostPorts)
    serve_port(Services(server, ports.serve))


def _at_end() -> None:
    release(str(DATA_ROOT))


def power_off() -> None:
    """End the machine."""
    import ctypes

    os.sync()
    ctypes.CDLL(None).reboot(REBOOT_POWER_OFF)
    os._exit(1)
