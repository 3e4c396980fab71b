"""Machines on disk: a directory each, which a person can read.

machine.json     what the user decided             id_ed25519       the key that opens it (and .pub)
keeper.json      who keeps it running, and where   host_key         its own SSH identity
data.qcow2       images, containers, volumes       console.log      what its kernel and agent say
initrd           initramfs, agent and seed         keeper.log       what its keeper says
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from ..config import NAME, MachineConfig, load_config, save_config
from ..errors import ConfigError, MachineExists, MachineNotFound
from ..paths import machines_directory
from ..system.files import write_whole
from ..system.processes import is_alive
from .endpoint import Endpoint

MAX_SOCKET_PATH = 90
"""macOS allows 104 bytes for a unix socket's path; the longest name we append has 14."""

STARTING, RUNNING, FAILED = "starting", "running", "failed"


@dataclass(frozen=True)
class KeeperState:
    """What a machine's keeper tells of it.

    Attributes:
        status: `starting`, `running` or `failed`.
        pid: of the keeper (native driver: of the supervisor).
        mark: its start mark.
        endpoint: where the engine answers.
        ssh_port: SSH on 127.0.0.1; 0 for none.
        qemu_pid: of QEMU; 0 for none.
        qemu_mark: its start mark.
        accelerator: what runs the machine.
        reason: why that one.
        error: what failed.
        hint: what to do then.
        console: the console's last lines then.
        token: secret of loopback connections on Windows.
    """

    status: str
    pid: int
    mark: str
    endpoint: tuple[str, str, str] = ("", "", "")
    ssh_port: int = 0
    qemu_pid: int = 0
    qemu_mark: str = ""
    accelerator: str = ""
    reason: str = ""
    error: str = ""
    hint: str = ""
    console: str = ""

    @property
    def alive(self) -> bool:
        """Whether the keeper that wrote this still runs."""
        return is_alive(self.pid, self.mark)


@dataclass(frozen=True)
class Machine:
    """A machine's directory."""

    directory: Path

    @property
    def name(self) -> str:
        """Its name."""
        return self.directory.name

    @property
    def config(self) -> MachineConfig:
        """Its settings.

        Raises:
            ConfigError: not readable.
        """
        return load_config(self.directory / "machine.json")

    @property
    def sockets(self) -> Path:
        """Where its sockets are: here, or in a short place when this path is too long for a socket."""
        if len(os.fsencode(self.directory)) <= MAX_SOCKET_PATH:
            return self.directory
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        short = Path(tempfile.gettempdir()) / f"atoll-{digest}"
        with contextlib.suppress(FileExistsError):
            short.mkdir(mode=0o700)
        status = short.lstat()
        if not stat.S_ISDIR(status.st_mode) or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
            raise ConfigError(f"{short} is not a directory of yours", "remove it, or set ATOLL_HOME to a shorter path")
        return short

    def file(self, name: str) -> Path:
        """A file of it."""
        return self.directory / name

    def read_state(self) -> KeeperState | None:
        """What its keeper told last; None when it is stopped."""
        try:
            raw = json.loads(self.file("keeper.json").read_bytes())
            return KeeperState(**{**raw, "endpoint": tuple(raw["endpoint"])})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError):
            return None  # written by another version, or cut off: as good as none

    def write_state(self, state: KeeperState) -> None:
        """Tell."""
        write_whole(self.file("keeper.json"), json.dumps(asdict(state)).encode())

    def clear_state(self) -> None:
        """It is stopped."""
        self.file("keeper.json").unlink(missing_ok=True)

    @property
    def status(self) -> str:
        """`running`, `starting`, `failed` or `stopped`."""
        state = self.read_state()
        if state is None:
            return "stopped"
        if state.status == FAILED:
            return FAILED
        return state.status if state.alive else "stopped"

    def endpoint(self) -> Endpoint | None:
        """Where its engine answers; None unless it runs."""
        state = self.read_state()
        if state is None or state.status != RUNNING or not state.alive:
            return None
        return Endpoint(*state.endpoint)

    def console_tail(self, lines: int = 15) -> str:
        """The last lines of its console."""
        try:
            text = self.file("console.log").read_bytes()[-8192:].decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(line.rstrip() for line in text.splitlines()[-lines:])


def list_machines() -> list[Machine]:
    """All machines by name."""
    root = machines_directory()
    if not root.is_dir():
        return []
    return [Machine(path) for path in sorted(root.iterdir()) if _is_machine(path)]


def _is_machine(directory: Path) -> bool:
    """Not one that is just being made or removed, or that was when the computer lost its power."""
    return bool(NAME.fullmatch(directory.name)) and (directory / "machine.json").exists()


def find_machine(name: str) -> Machine | None:
    """A machine by name; None where there is none."""
    directory = machines_directory() / name
    return Machine(directory) if directory.name == name and _is_machine(directory) else None


def get_machine(name: str) -> Machine:
    """A machine by name.

    Raises:
        MachineNotFound: there is none.
    """
    machine = find_machine(name)
    if machine is None:
        raise MachineNotFound(f"there is no machine {name!r}", f"make it with `atoll machine create {name}`")
    return machine


def create_machine(config: MachineConfig) -> Machine:
    """Make a machine's directory: under another name first, so that no half machine is ever seen.

    Raises:
        ConfigError: settings that make no sense.
        MachineExists: the name is taken.
    """
    config.check()
    root = machines_directory()
    root.mkdir(parents=True, exist_ok=True)
    final = root / config.name
    if final.exists():
        raise MachineExists(f"machine {config.name!r} exists already", "choose another name, or remove it first")
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
    try:
        if config.driver == "qemu":
            from ..qemu.disk import create_disk

            create_disk(work / "data.qcow2", config.disk_gib << 30)
        save_config(config, work / "machine.json")
        try:
            work.rename(final)
        except OSError as error:
            raise MachineExists(f"machine {config.name!r} exists already", "choose another name") from error
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return Machine(final)


def remove_machine(machine: Machine) -> None:
    """Remove a stopped machine with its disk: out of sight first."""
    doomed = machine.directory.with_name(f".removing-{machine.name}-{os.getpid()}")
    sockets = machine.sockets
    if sockets != machine.directory:
        shutil.rmtree(sockets, ignore_errors=True)
    machine.directory.rename(doomed)
    shutil.rmtree(doomed)
