"""Containers by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from ...api.errors import AgentError, Kind, conflict, invalid
from ...api.types import Attachable, LogQuery
from ...network.networks import Networks
from ..container_filters import matches_container
from ..containers import Containers
from ..filters import is_older, matches_labels
from ..inspect import container_details, container_row
from ..lifecycle import Lifecycle
from ..links import link_names
from ..logs import read_log
from ..networking import Networking
from ..processes import describe_process
from ..records import Container
from ..signals import parse_signal
from ..stats import combine, measure
from ..supervision import Supervision
from ..update import update_container
from ..usage import container_sizes
from ..waiting import Waiter

Json = dict[str, Any]
STATS_INTERVAL_S = 1.0


class ContainerNoun:
    """Containers by name."""

    def __init__(
        self,
        containers: Containers,
        lifecycle: Lifecycle,
        supervision: Supervision,
        networks: Networks,
        networking: Networking,
    ) -> None:
        self._containers, self._lifecycle = containers, lifecycle
        self._supervision, self._networks, self._networking = supervision, networks, networking

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
            if (everything or container.running) and matches_container(container, filters, self._containers.get)
        ]
        rows = [container_row(container, self._networks) for container in chosen[: limit if limit > 0 else None]]
        linking = [container for container in self._containers.all() if container.host_config.get("Links")]
        for row, container in zip(rows, chosen, strict=False) if linking else ():
            row["Names"] += link_names(container, linking)
        if size:
            for row in rows:
                row |= self._sizes(self._containers.get(row["Id"]))
        return rows

    def _sizes(self, container: Container) -> Json:
        return container_sizes(container, self._containers)

    def details(self, name: str, *, size: bool) -> Json:
        """Everything about one."""
        container = self._containers.get(name)
        details = container_details(container, self._containers.store, self._networks)
        return details | (self._sizes(container) if size else {})

    def start(self, name: str) -> None:
        """Start one."""
        self._lifecycle.start(self._containers.get(name))

    def stop(self, name: str, timeout_s: int | None, signal: str) -> None:
        """Stop one."""
        self._lifecycle.stop(self._containers.get(name), timeout_s, signal)

    def restart(self, name: str, timeout_s: int | None, signal: str) -> None:
        """Stop one if it runs, then start it."""
        self._lifecycle.restart(self._containers.get(name), timeout_s, signal)

    def pause(self, name: str) -> None:
        """Stop its processes where they are."""
        self._lifecycle.pause(self._containers.get(name))

    def unpause(self, name: str) -> None:
        """Let them go on."""
        self._lifecycle.unpause(self._containers.get(name))

    def update(self, name: str, body: Json) -> Json:
        """Change its limits or its restart policy."""
        container = self._containers.get(name)
        update_container(container, body, self._containers)
        return {"Warnings": []}

    def stats(self, name: str, *, one_shot: bool) -> Iterator[Json]:
        """What it uses: one measurement each time it is asked, two a second apart for the first one."""
        container = self._containers.get(name)
        directory = self._containers.cgroup_of(container)
        before = None
        if not one_shot and container.running:
            before = measure(container, directory)
            with container.changed:
                container.changed.wait_for(lambda: not container.running, STATS_INTERVAL_S)
        while True:
            now = measure(container, directory)
            yield combine(now, before)
            before = now
            with container.changed:
                container.changed.wait_for(lambda: container.removed, STATS_INTERVAL_S)
            if container.removed:
                return

    def kill(self, name: str, signal: str) -> None:
        """Signal one."""
        number = parse_signal(signal)
        self._lifecycle.kill(self._containers.get(name), number)

    def remove(self, name: str, *, force: bool, volumes: bool) -> None:
        """Remove one."""
        self._lifecycle.remove(self._containers.get(name), force=force, volumes=volumes)

    def unlink(self, name: str) -> None:
        """Remove a link, `container/alias`."""
        container, _, alias = name.strip("/").rpartition("/")
        self._networking.unlink(self._containers.get(container), alias)

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
        rows = [describe_process(pid) for pid in self._pids(container)]
        return {
            "Titles": ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"],
            "Processes": [r for r in rows if r],
        }

    def _pids(self, container: Container) -> list[int]:
        directory = self._containers.cgroup_of(container)
        if directory is None:
            return [container.state.pid]
        return [int(pid) for pid in (directory / "cgroup.procs").read_text().split()]

    def prune(self, filters: dict[str, list[str]]) -> Json:
        """Remove all that do not run."""
        unknown = set(filters) - {"until", "label", "label!"}
        if unknown:
            raise invalid(f"invalid filter '{min(unknown)}'")
        removed, freed = [], 0
        for container in self._containers.all():
            if container.running or not matches_labels(container.config.get("Labels") or {}, filters):
                continue
            if "until" in filters and not is_older(container.created_ns, filters["until"], time.time_ns()):
                continue
            size = container_sizes(container, self._containers)["SizeRw"]
            try:
                self._containers.remove(container, volumes=False)
            except AgentError:
                continue  # it was started meanwhile
            removed.append(container.id)
            freed += size
        self._containers.prune_told(freed)
        return {"ContainersDeleted": removed or None, "SpaceReclaimed": freed}
