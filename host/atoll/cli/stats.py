"""`atoll stats`: what containers use, live or once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from ..errors import HostError
from .exits import FAILED
from .lazy import DockerCommand, pass_target
from .render import binary_size, clear_screen, fail, human_size, is_terminal, out
from .target import Target
from .template import print_list

if TYPE_CHECKING:
    from ..client.engine import Engine
    from ..client.transport import Response

COLUMNS = {
    "ID": "container_id",
    "Name": "name",
    "CPUPerc": "cpu_%",
    "MemUsage": "mem_usage_/_limit",
    "MemPerc": "mem_%",
    "NetIO": "net_i/o",
    "BlockIO": "block_i/o",
    "PIDs": "pids",
}
HEADINGS = {"Container": "container"}
UNKNOWN = "--"
REDRAW_S = 0.5
LEAVING = ("die", "destroy")


@click.command(cls=DockerCommand)
@click.option("-a", "--all", "everything", is_flag=True, help="Also containers that do not run.")
@click.option("--no-stream", is_flag=True, help="Show it once and end.")
@click.option("--no-trunc", is_flag=True, help="Show ids whole.")
@click.option("--format", metavar="FORMAT", help="json, or a template as '{{.Name}}: {{.CPUPerc}}'.")
@click.argument("containers", nargs=-1)
@pass_target
def stats(
    target: Target,
    containers: tuple[str, ...],
    everything: bool,
    no_stream: bool,
    no_trunc: bool,
    format: str | None,
) -> int:
    """Show what containers use of processor, memory, network and disk: all that run, or those named."""
    engine = target.engine()
    names = containers or tuple(row["Id"] for row in engine.containers.list(all=everything))
    watch = Watch(engine, stream=not no_stream)
    for name in names:
        watch.add(name)
    watch.wait_for_first()
    if failures := watch.failures():
        for error in failures:
            fail(error.message, error.hint)
        return FAILED
    if not no_stream and not containers:
        watch.follow(everything=everything)
    with suppress(KeyboardInterrupt):
        while True:
            if is_terminal() and not no_stream:
                clear_screen()
            print_list(watch.rows(trunc=not no_trunc), COLUMNS, format, HEADINGS)
            if no_stream or (containers and not watch.alive()):
                break
            if not is_terminal():
                out()
            watch.wait_for_news()
    return 0


class Watch:
    """The newest numbers of some containers, read by a thread each.

    Arguments:
        stream: go on as long as the container runs; otherwise one answer each.
    """

    def __init__(self, engine: Engine, *, stream: bool) -> None:
        self._engine = engine
        self._stream = stream
        self._changed = threading.Condition()
        self._order: list[str] = []
        self._latest: dict[str, Mapping[str, Any] | None] = {}
        self._errors: dict[str, HostError] = {}
        self._done: set[str] = set()

    def add(self, name: str) -> None:
        """Begin to read a container's numbers."""
        with self._changed:
            if name in self._order:
                return
            self._order.append(name)
            self._done.discard(name)
        threading.Thread(target=self._read, args=(name,), daemon=True).start()

    def remove(self, name: str) -> None:
        """Show a container no longer."""
        with self._changed:
            if name in self._order:
                self._order.remove(name)
                self._latest.pop(name, None)
            self._changed.notify_all()

    def _read(self, name: str) -> None:
        try:
            response: Response = self._engine.containers.stats(name, stream=self._stream)
            for numbers in response.json_lines():
                self._note(name, numbers)
        except HostError as error:
            with self._changed:
                self._errors[name] = error
        finally:
            with self._changed:
                self._done.add(name)
                self._latest.setdefault(name, None)
                self._changed.notify_all()

    def _note(self, name: str, numbers: Mapping[str, Any]) -> None:
        with self._changed:
            self._latest[name] = numbers
            self._changed.notify_all()

    def follow(self, *, everything: bool) -> None:
        """Show containers that start from now on, and those that end no longer (unless all are shown)."""
        threading.Thread(target=self._follow, args=(everything,), daemon=True).start()

    def _follow(self, everything: bool) -> None:
        with suppress(HostError):
            for event in self._engine.system.events(filters={"type": ["container"]}):
                action, name = event.get("Action"), (event.get("Actor") or {}).get("ID", "")
                if action == "start" or (action == "create" and everything):
                    self.add(name)
                elif action in LEAVING and (action == "destroy" or not everything):
                    self.remove(name)

    def wait_for_first(self) -> None:
        """Wait until something is known of every container."""
        with self._changed:
            self._wait(lambda: all(name in self._latest for name in self._order))

    def wait_for_news(self) -> None:
        """Wait until there is something else to show."""
        with self._changed:
            before = (dict(self._latest), set(self._done))
            self._wait(lambda: (self._latest, self._done) != before)

    def _wait(self, condition: Any) -> None:
        # With a limit, since a wait without one cannot be interrupted on Windows.
        while not self._changed.wait_for(condition, REDRAW_S):
            pass

    def alive(self) -> bool:
        """Whether there will be more to show."""
        with self._changed:
            return any(name not in self._done for name in self._order)

    def failures(self) -> list[HostError]:
        """What went wrong until now."""
        with self._changed:
            return list(self._errors.values())

    def rows(self, *, trunc: bool) -> list[dict[str, str]]:
        """The table's rows."""
        with self._changed:
            return [summarize(name, self._latest.get(name), trunc=trunc) for name in self._order]


def summarize(container: str, numbers: Mapping[str, Any] | None, *, trunc: bool) -> dict[str, str]:
    """Make a row of the engine's numbers, with Docker's field names (pure)."""
    if numbers is None:
        row = dict.fromkeys((*COLUMNS, *HEADINGS), UNKNOWN)
        return {**row, "Container": container, "ID": container[:12] if trunc else container, "MemUsage": "-- / --"}
    identity = str(numbers.get("id", ""))
    used, limit = memory_used(numbers.get("memory_stats") or {})
    received, sent = _sum_network(numbers.get("networks") or {})
    read, written = _sum_block(numbers.get("blkio_stats") or {})
    return {
        "Container": container,
        "ID": identity[:12] if trunc else identity,
        "Name": str(numbers.get("name", "")).removeprefix("/") or UNKNOWN,
        "CPUPerc": f"{cpu_percent(numbers):.2f}%",
        "MemUsage": f"{binary_size(used)} / {binary_size(limit)}",
        "MemPerc": f"{used / limit * 100 if limit else 0:.2f}%",
        "NetIO": f"{human_size(received)} / {human_size(sent)}",
        "BlockIO": f"{human_size(read)} / {human_size(written)}",
        "PIDs": str((numbers.get("pids_stats") or {}).get("current", 0)),
    }


def cpu_percent(numbers: Mapping[str, Any]) -> float:
    """How much of one processor was used between the two samples, in percent (pure)."""
    now, before = numbers.get("cpu_stats") or {}, numbers.get("precpu_stats") or {}
    used = _total(now) - _total(before)
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    processors = now.get("online_cpus") or len((now.get("cpu_usage") or {}).get("percpu_usage") or ())
    return float(used / passed * processors * 100) if used > 0 and passed > 0 else 0.0


def _total(cpu: Mapping[str, Any]) -> int:
    return int((cpu.get("cpu_usage") or {}).get("total_usage", 0))


def memory_used(memory: Mapping[str, Any]) -> tuple[int, int]:
    """Memory in use without what the kernel caches and would give back, and its limit, in bytes (pure)."""
    usage, detail = int(memory.get("usage", 0)), memory.get("stats") or {}
    cached = detail.get("total_inactive_file", detail.get("inactive_file", 0))  # of cgroup v1, of v2
    return usage - cached if cached < usage else usage, int(memory.get("limit", 0))


def _sum_network(networks: Mapping[str, Mapping[str, int]]) -> tuple[int, int]:
    return sum(n.get("rx_bytes", 0) for n in networks.values()), sum(n.get("tx_bytes", 0) for n in networks.values())


def _sum_block(block: Mapping[str, Any]) -> tuple[int, int]:
    totals = {"r": 0, "w": 0}
    for entry in block.get("io_service_bytes_recursive") or ():
        kind = str(entry.get("op", ""))[:1].lower()
        if kind in totals:
            totals[kind] += int(entry.get("value", 0))
    return totals["r"], totals["w"]
