"""The engine as the server sees it: names in, JSON out. Each class is one noun; the modules beside do the work."""

from __future__ import annotations

import fnmatch
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from ..api.errors import AgentError, Kind, conflict, invalid
from ..api.types import Attachable, LogQuery
from ..images.store import ImageStore
from ..network.bridge import BridgeNetwork
from ..volumes.store import VolumeStore
from . import events as events_module
from .containers import Containers
from .events import Events
from .execs import Execs
from .inspect import (
    container_details,
    container_row,
    exec_details,
    image_details,
    image_row,
    matches_container,
    parse_time,
)
from .lifecycle import Lifecycle, Waiter
from .logs import read_log
from .records import Container
from .signals import parse_signal
from .supervision import Supervision
from .system import Identity, describe_info, describe_version

Json = dict[str, Any]
CTRL = {f"ctrl-{chr(c)}": c & 0x1F for c in range(ord("a"), ord("z") + 1)} | {
    "ctrl-@": 0, "ctrl-[": 27, "ctrl-\\": 28, "ctrl-]": 29, "ctrl-^": 30, "ctrl-_": 31,
}  # fmt: skip


class ContainerNoun:
    """Containers by name."""

    def __init__(
        self, containers: Containers, lifecycle: Lifecycle, supervision: Supervision, bridge: BridgeNetwork
    ) -> None:
        self._containers, self._lifecycle = containers, lifecycle
        self._supervision, self._bridge = supervision, bridge

    def create(self, body: Json, name: str, platform: str) -> Json:
        """Make one; `{"Id", "Warnings"}`."""
        made = self._containers.create(body, name, platform)
        return {"Id": made.container.id, "Warnings": made.warnings}

    def rows(self, *, everything: bool, limit: int, filters: dict[str, list[str]], size: bool) -> list[Json]:
        """Rows of a list, newest first."""
        everything = everything or limit > 0 or bool({"status", "exited"} & set(filters))
        chosen = [
            container
            for container in self._containers.all()
            if (everything or container.running) and matches_container(container, filters)
        ]
        rows = [container_row(container, self._bridge) for container in chosen[: limit if limit > 0 else None]]
        if size:
            for row in rows:
                row |= self._sizes(self._containers.get(row["Id"]))
        return rows

    def _sizes(self, container: Container) -> Json:
        own = tree_size(self._containers.store.overlay(container.id) / "upper")
        image = self._containers.images.find(container.image_id)
        return {"SizeRw": own, "SizeRootFs": own + (image.size if image else 0)}

    def details(self, name: str, *, size: bool) -> Json:
        """Everything about one."""
        container = self._containers.get(name)
        details = container_details(container, self._containers.store, self._bridge)
        return details | (self._sizes(container) if size else {})

    def start(self, name: str) -> None:
        """Start one."""
        self._lifecycle.start(self._containers.get(name))

    def stop(self, name: str, timeout_s: int | None, signal: str) -> None:
        """Stop one."""
        self._lifecycle.stop(self._containers.get(name), timeout_s, signal)

    def restart(self, name: str, timeout_s: int | None, signal: str) -> None:
        """Stop one if it runs, then start it."""
        container = self._containers.get(name)
        if container.auto_remove:
            raise AgentError(Kind.NOT_IMPLEMENTED, "a container with --rm cannot be restarted by this version of Atoll")
        if container.running:
            self._lifecycle.stop(container, timeout_s, signal)
        self._lifecycle.start(container)

    def kill(self, name: str, signal: str) -> None:
        """Signal one."""
        number = parse_signal(signal)
        self._lifecycle.kill(self._containers.get(name), number)

    def remove(self, name: str, *, force: bool, volumes: bool) -> None:
        """Remove one."""
        self._lifecycle.remove(self._containers.get(name), force=force, volumes=volumes)

    def rename(self, name: str, new_name: str) -> None:
        """Give one another name."""
        self._containers.rename(self._containers.get(name), new_name)

    def resize(self, name: str, height: int, width: int) -> None:
        """Set the size of its terminal."""
        container = self._containers.get(name)
        if not container.running:
            raise conflict(f"container {container.id} is not running")
        self._supervision.resize(container.id, height, width)

    def waiter(self, name: str, condition: str) -> Callable[[float | None], int | None]:
        """A function that waits for the condition; from now on nothing is missed."""
        return Waiter(self._containers.get(name), condition).wait

    def attachable(self, name: str) -> Attachable:
        """What a client may be attached to."""
        container = self._containers.get(name)
        return Attachable(container.id, container.terminal, bool(container.config.get("OpenStdin")))

    def logs(self, name: str, query: LogQuery) -> tuple[bool, Iterator[tuple[int, bytes]]]:
        """Whether it has a terminal, and its log."""
        container = self._containers.get(name)
        if container.host_config["LogConfig"]["Type"] == "none":
            raise AgentError(Kind.NOT_IMPLEMENTED, "configured logging driver does not support reading")
        path = self._containers.store.directory(container.id) / "output.log"

        def ended(timeout_s: float) -> bool:
            with container.changed:
                return container.changed.wait_for(lambda: not container.running, timeout_s)

        return container.terminal, read_log(path, query, ended)

    def top(self, name: str, arguments: str) -> Json:
        """Its processes, read from /proc by cgroup or session."""
        container = self._containers.get(name)
        if not container.running:
            raise conflict(f"container {container.id} is not running")
        rows = [process_row(pid) for pid in self._pids(container)]
        return {
            "Titles": ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"],
            "Processes": [r for r in rows if r],
        }

    def _pids(self, container: Container) -> list[int]:
        parent = self._containers.hierarchy.parent
        if parent is None:
            return [container.state.pid]
        return [int(pid) for pid in (parent / container.id / "cgroup.procs").read_text().split()]

    def prune(self, filters: dict[str, list[str]]) -> Json:
        """Remove all that do not run."""
        removed = []
        for container in self._containers.all():
            if container.running or not matches_container(
                container, {k: v for k, v in filters.items() if k == "label"}
            ):
                continue
            try:
                self._containers.remove(container, volumes=False)
                removed.append(container.id)
            except AgentError:
                continue
        return {"ContainersDeleted": removed, "SpaceReclaimed": 0}


class ExecNoun:
    """Execs by id."""

    def __init__(self, execs: Execs, containers: Containers, supervision: Supervision) -> None:
        self._execs, self._containers, self._supervision = execs, containers, supervision

    def create(self, container: str, body: Json) -> str:
        """Prepare one; its id."""
        return self._execs.create(self._containers.get(container), body).id

    def attachable(self, exec_id: str) -> Attachable:
        """What a client may be attached to.

        Raises:
            AgentError: it cannot be started (any more).
        """
        found = self._execs.get(exec_id)
        self._execs.check_startable(found)
        return Attachable(found.id, found.terminal, bool(found.config.get("AttachStdin")))

    def start(self, exec_id: str) -> None:
        """Start one."""
        self._execs.start(self._execs.get(exec_id))

    def cancel(self, exec_id: str) -> None:
        """Let go of clients that wait for one that failed."""
        self._supervision.forget(exec_id)

    def resize(self, exec_id: str, height: int, width: int) -> None:
        """Set the size of its terminal."""
        self._supervision.resize(self._execs.get(exec_id).id, height, width)

    def details(self, exec_id: str) -> Json:
        """Everything about one."""
        return exec_details(self._execs.get(exec_id))


class ImageNoun:
    """Images by reference or id."""

    def __init__(self, images: ImageStore, containers: Containers, events: Events) -> None:
        self._images, self._containers, self._events = images, containers, events

    def rows(self, filters: dict[str, list[str]]) -> list[Json]:
        """Rows of a list, newest first."""
        used = [container.image_id for container in self._containers.all()]
        rows = [image_row(image, self._images, used.count(image.id)) for image in self._images.list_images()]
        if patterns := filters.get("reference"):
            for row in rows:  # an image shows only the names that were asked for
                row["RepoTags"] = [name for name in row["RepoTags"] if _matches_reference(name, patterns)]
        return [row for row in rows if _image_matches(row, filters)]

    def details(self, name: str) -> Json:
        """Everything about one."""
        return image_details(self._images.get(name), self._images)

    def history(self, name: str) -> list[Json]:
        """How it was made, newest first."""
        image = self._images.get(name)
        rows = []
        for item in reversed(image.config.get("history") or []):
            rows.append(
                {
                    "Id": "<missing>",
                    "Created": parse_time(str(item.get("created") or "")),
                    "CreatedBy": str(item.get("created_by") or ""),
                    "Tags": None,
                    "Size": 0,
                    "Comment": str(item.get("comment") or ""),
                }
            )
        if rows:
            rows[0] |= {"Id": image.id, "Tags": self._images.references_of(image.id)}
        return rows

    def load(self, source: IO[bytes]) -> Iterator[str]:
        """Import an archive."""
        for line in self._images.load(source):
            name = line.partition(": ")[2]
            self._events.publish("image", "load", self._images.get(name).id, {"name": name})
            yield line

    def tag(self, name: str, repository: str, tag: str) -> None:
        """Give one another name."""
        self._images.tag(name, repository, tag)
        self._events.publish("image", "tag", self._images.get(name).id, {"name": f"{repository}:{tag or 'latest'}"})

    def remove(self, name: str, *, force: bool) -> list[Json]:
        """Untag or delete one."""
        image = self._images.get(name)
        rows = self._images.remove(name, force=force, in_use=self._containers.images_in_use())
        for row in rows:
            action = "untag" if "Untagged" in row else "delete"
            self._events.publish("image", action, image.id, {"name": row.get("Untagged") or image.id})
        return list(rows)


def _image_matches(row: Json, filters: dict[str, list[str]]) -> bool:
    for key, wanted in filters.items():
        if key == "reference":
            if not row["RepoTags"]:
                return False
        elif key == "dangling":
            if (wanted[0].lower() in ("1", "true")) == bool(row["RepoTags"]):
                return False
        elif key == "label":
            have = set(row["Labels"]) | {f"{k}={v}" for k, v in row["Labels"].items()}
            if not set(wanted) <= have:
                return False
        else:
            raise invalid(f"invalid filter '{key}'")
    return True


def _matches_reference(name: str, patterns: list[str]) -> bool:
    """Whether a tag, or its repository, matches one of Docker's shell patterns."""
    forms = (name, name.rpartition(":")[0])
    return any(fnmatch.fnmatchcase(form, pattern) for form in forms for pattern in patterns)


class VolumeNoun:
    """Volumes by name."""

    def __init__(self, volumes: VolumeStore, containers: Containers) -> None:
        self._volumes, self._containers = volumes, containers

    def rows(self) -> list[Json]:
        """All of them."""
        return self._volumes.list_volumes()

    def details(self, name: str) -> Json:
        """One of them."""
        return self._volumes.find(name)

    def create(self, body: Json) -> Json:
        """Make one (or find it)."""
        if body.get("Driver") not in (None, "", "local"):
            raise invalid(f"error looking up volume plugin {body['Driver']}: plugin not found")
        if body.get("DriverOpts"):
            raise AgentError(Kind.NOT_IMPLEMENTED, "volume driver options are not supported by this version of Atoll")
        return self._volumes.ensure(str(body.get("Name") or os.urandom(32).hex()), body.get("Labels") or {})

    def remove(self, name: str, *, force: bool) -> None:
        """Remove one."""
        self._volumes.remove(name, self._containers.volume_users(name), force=force)


class SystemNoun:
    """The engine as a whole."""

    def __init__(self, identity: Identity, containers: Containers, events: Events, supervision: Supervision) -> None:
        self._identity, self._containers = identity, containers
        self._events, self._supervision = events, supervision

    def version(self) -> Json:
        """`GET /version`."""
        return describe_version()

    def info(self) -> Json:
        """`GET /info`."""
        return describe_info(self._identity, self._containers, self._containers.images, self._containers.hierarchy)

    def events(
        self, since_ns: int | None, until_ns: int | None, filters: dict[str, list[str]]
    ) -> Iterator[Json | None]:
        """Past and coming events."""
        for event in self._events.listen(since_ns, until_ns):
            if event is None or events_module.matches(event, filters):
                yield event

    def set_time(self, time_ns: int) -> None:
        """Set the machine's clock; only in a machine, where it is ours."""
        if not self._identity.machine:
            raise AgentError(Kind.FORBIDDEN, "the native driver does not set the host's clock")
        time.clock_settime_ns(time.CLOCK_REALTIME, time_ns)

    def memory(self) -> Json:
        """What agent and supervisor use: proportional set sizes in bytes."""
        return {"agent": proportional_bytes(os.getpid()), "supervisor": proportional_bytes(os.getppid())}

    def shutdown(self, timeout_s: float) -> None:
        """End everything."""
        self._supervision.shutdown(timeout_s)


class StreamNoun:
    """Hands connections to the supervisor."""

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision

    def attach(
        self,
        target: Attachable,
        client: socket.socket,
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        keys: str,
        head: bytes,
    ) -> None:
        """Hand one over; the caller closes its copy."""
        self._supervision.attach(
            target.key,
            client,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            framed=not target.terminal,
            detach_keys=list(parse_detach_keys(keys)) if target.terminal and stdin else [],
            head=head.decode("latin-1"),
        )


def parse_detach_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q` as bytes; "" means just that.

    Raises:
        AgentError: an unknown key.
    """
    out = bytearray()
    for key in (text or "ctrl-p,ctrl-q").split(","):
        if len(key) == 1 and key.isascii():
            out.append(ord(key))
        elif key in CTRL:
            out.append(CTRL[key])
        else:
            raise invalid(f"Unknown character: '{key[:20]}'")
    return bytes(out)


def tree_size(root: Path) -> int:
    """Bytes in the regular files below a directory."""
    total = 0
    for directory, _names, files in os.walk(root):
        for name in files:
            try:
                status = os.lstat(os.path.join(directory, name))
            except OSError:
                continue
            total += status.st_size
    return total


def process_row(pid: int) -> list[str] | None:
    """A process as `ps -ef` shows it; None when it is gone."""
    try:
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
        )
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    seconds = (int(fields[11]) + int(fields[12])) // ticks
    started = time.time() - float(Path("/proc/uptime").read_text().split()[0]) + int(fields[19]) / ticks
    return [
        status["Uid"].split()[0],
        str(pid),
        status["PPid"],
        "0",
        time.strftime("%H:%M", time.localtime(started)),
        "?",
        f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}",
        command or f"[{status['Name']}]",
    ]


def proportional_bytes(pid: int) -> int:
    """Pss of a process (proc(5), smaps_rollup)."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
