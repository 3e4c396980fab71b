"""What is remembered of a container, and how it lies on disk.

containers/<id>/config.json    what was asked for; written once, fsynced before the id is told to anybody
containers/<id>/state.json     what has become of it; one atomic write per change
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..disk import sync_directory, write_json
from ..network.firewall import Port
from ..network.networks import Attachment
from ..runtime.log_file import format_time

log = logging.getLogger(__name__)
NEVER = "0001-01-01T00:00:00Z"
CREATED, RUNNING, RESTARTING, EXITED, REMOVING = "created", "running", "restarting", "exited", "removing"


@dataclass
class Health:
    """What the checks of a running container have found.

    Attributes:
        status: `starting`, `healthy` or `unhealthy`.
        failing_streak: failures in a row.
        results: the last ones, in Docker's shape.
    """

    status: str
    failing_streak: int = 0
    results: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class State:
    """What changes while a container lives. Times in nanoseconds since 1970; 0 for never."""

    status: str = CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_ns: int = 0
    finished_ns: int = 0
    boot: str = ""
    attachments: list[Attachment] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)
    manually_stopped: bool = False
    paused: bool = False
    restart_count: int = 0
    health: Health | None = None


@dataclass
class Container:
    """A container: what was asked for, its state, and those who wait for it.

    Attributes:
        id: 64 hexadecimal digits.
        name: without the leading slash.
        created_ns: nanoseconds since 1970.
        image: the image as the user named it.
        image_id: `sha256:...`.
        layers: its image's layer directories, topmost first.
        config: Docker's Config with the image's merged in.
        host_config: Docker's HostConfig.
        endpoints: Docker's NetworkingConfig.EndpointsConfig.
        mounts: Docker's mount points, as inspect shows them.
    """

    id: str
    name: str
    created_ns: int
    image: str
    image_id: str
    layers: list[str]
    config: dict[str, Any]
    host_config: dict[str, Any]
    endpoints: dict[str, Any] = field(default_factory=dict)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        """Held while the container is being started, stopped or removed."""
        self.changed = threading.Condition(threading.Lock())
        """Notified at every change of `state`."""
        self.removed = False
        self.runs_ended = 0
        self.last_exit_code = 0
        """Of the run that ended last; `state` may tell of the next one already."""
        self.restart_delay_s = 0.0
        self.restarts_by_hand = False
        self.exec_ids: list[str] = []

    @property
    def auto_remove(self) -> bool:
        """Whether it goes when it ends."""
        return bool(self.host_config.get("AutoRemove"))

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.state.status == RUNNING

    @property
    def terminal(self) -> bool:
        """Whether it was created with a terminal."""
        return bool(self.config.get("Tty"))

    def started_at(self) -> str:
        """RFC 3339, or Docker's zero time."""
        return format_time(self.state.started_ns) if self.state.started_ns else NEVER

    def finished_at(self) -> str:
        """RFC 3339, or Docker's zero time."""
        return format_time(self.state.finished_ns) if self.state.finished_ns else NEVER


_STATIC = ("id", "name", "created_ns", "image", "image_id", "layers", "config", "host_config", "endpoints", "mounts")


class RecordStore:
    """Containers on disk, with their writable layers and logs."""

    def __init__(self, data_root: Path) -> None:
        self.root = data_root / "containers"
        self.overlays = data_root / "overlay"
        self._trash = data_root / "removing"
        for directory in (self.root, self.overlays, self._trash):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def directory(self, container_id: str) -> Path:
        """Where its records, log and files for /etc are."""
        return self.root / container_id

    def overlay(self, container_id: str) -> Path:
        """Where its writable layer is (`upper`, `work`)."""
        return self.overlays / container_id

    def create(self, container: Container) -> None:
        """Write a new container; it is on disk, whole, when this returns."""
        overlay = self.overlay(container.id)
        for part in ("upper", "work"):
            (overlay / part).mkdir(parents=True, mode=0o755)
        directory = self.directory(container.id)
        directory.mkdir(mode=0o710)
        durable = not container.auto_remove
        static = {name: getattr(container, name) for name in _STATIC}
        write_json(directory / "config.json", {"static": static, "state": asdict(container.state)}, durable=durable)
        if durable:
            sync_directory(self.root)

    def save_config(self, container: Container) -> None:
        """Write what was asked for again (after a rename or an update)."""
        static = {name: getattr(container, name) for name in _STATIC}
        write_json(self.directory(container.id) / "config.json", {"static": static, "state": asdict(container.state)})

    def save_state(self, container: Container, *, durable: bool = False) -> None:
        """Write the state: one write.

        A state is durable when it must outlive a power cut: that it was started, and its exit code.
        """
        write_json(self.directory(container.id) / "state.json", asdict(container.state), durable=durable)

    def remove(self, container_id: str) -> None:
        """Remove all of a container: out of sight first, so that a crash leaves no half of it."""
        for source, kind in ((self.directory(container_id), "record"), (self.overlay(container_id), "overlay")):
            with contextlib.suppress(FileNotFoundError):
                source.rename(self._trash / f"{kind}-{container_id}")
        for kind in ("record", "overlay"):
            shutil.rmtree(self._trash / f"{kind}-{container_id}", ignore_errors=True)

    def load_all(self) -> list[Container]:
        """Read every container; a record that cannot be read is set aside and reported."""
        for leftover in self._trash.iterdir():
            shutil.rmtree(leftover, ignore_errors=True)
        found = []
        for directory in sorted(self.root.iterdir()):
            if _is_unfinished(directory):
                log.info("container %s was never finished; removed", directory.name)
                self.remove(directory.name)
                continue
            try:
                found.append(self._load(directory))
            except (OSError, ValueError, KeyError, TypeError) as error:
                self._set_aside(directory, error)
        known = {container.id for container in found}
        for overlay in self.overlays.iterdir():
            if overlay.name not in known and not overlay.name.endswith(".broken"):
                shutil.rmtree(overlay, ignore_errors=True)
        return found

    def _load(self, directory: Path) -> Container:
        whole = json.loads((directory / "config.json").read_bytes())
        container = Container(**whole["static"], state=_read_state(whole["state"]))
        container.state = self._load_state(directory / "state.json") or container.state
        if container.id != directory.name:
            raise ValueError("the record names another container")
        return container

    @staticmethod
    def _load_state(path: Path) -> State | None:
        """What was last saved; None where that is nothing, or was torn by a power cut: it is not always synced."""
        try:
            return _read_state(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.error("%s cannot be read (%r); the container's first state stands", path, error)
            return None

    def _set_aside(self, directory: Path, error: Exception) -> None:
        aside = directory.parent.parent / "broken"
        aside.mkdir(exist_ok=True, mode=0o700)
        log.error("container record %s cannot be read (%r); moved to %s", directory.name, error, aside)
        # The writable layer is the user's work: it must not be taken for one whose container was removed.
        for source, name in ((self.overlay(directory.name), f"{directory.name}.overlay"), (directory, directory.name)):
            with contextlib.suppress(OSError):
                source.rename(aside / name)


def _is_unfinished(directory: Path) -> bool:
    """Whether an agent ended while it made this container: nobody was told its id, and it never had a state."""
    return not any((directory / name).exists() for name in ("config.json", "state.json", "output.log"))


def _read_state(raw: dict[str, Any]) -> State:
    attachments, ports, health = raw.pop("attachments"), raw.pop("ports"), raw.pop("health")
    return State(
        **raw,
        attachments=[Attachment(**a) for a in attachments],
        ports=[Port(**p) for p in ports],
        health=Health(**health) if health else None,
    )
