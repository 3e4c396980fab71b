"""Many containers at once, and an agent that is killed in the middle of it: nothing leaks and the state stays true."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from atoll_agent.cgroups.hierarchy import find_hierarchy

from .conftest import Engine, wait_for

AT_ONCE = 8


def lived(engine: Engine, number: int) -> None:
    """One container's whole life on the default bridge."""
    identity = engine.create("true", name=f"storm-{number}", host={"NetworkMode": "bridge"})
    engine.ok("POST", f"/containers/{identity}/start")
    assert engine.ok("POST", f"/containers/{identity}/wait")["StatusCode"] == 0
    engine.ok("DELETE", f"/containers/{identity}")


def count_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def count_empty_groups() -> int:
    """Cgroups of containers that have ended; those that run (of other engines, too) have a process in them."""
    parent = find_hierarchy().parent
    count = 0
    for group in parent.iterdir() if parent else ():
        with contextlib.suppress(OSError):
            count += len(group.name) == 64 and not (group / "cgroup.procs").read_text()
    return count


def count_all(engine: Engine) -> dict[str, int]:
    """Whatever a container could leave behind, counted."""
    supervisor = engine.supervisor_pid
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    ours = str(engine.directory)
    mounts = Path("/proc/self/mountinfo").read_text() + Path(f"/proc/{supervisor}/mountinfo").read_text()
    bridge = Path("/sys/class/net") / engine.bridge / "brif"
    return {
        "mounts": sum(ours in line for line in mounts.splitlines()),
        "children": len(children),
        "interfaces": len(os.listdir(bridge)) if bridge.exists() else 0,
        "supervisor's descriptors": count_descriptors(supervisor),
        "agent's descriptors": count_descriptors(engine.agent_pid),
        "empty groups": count_empty_groups(),
        "layers": len(os.listdir(engine.data_root / "overlay")),
        "records": len(os.listdir(engine.data_root / "containers")),
        "removing": len(os.listdir(engine.data_root / "removing")),
    }


def settle(engine: Engine, before: dict[str, int]) -> None:
    """Wait until everything is as it was; what is left is in the failure's text."""
    gc.collect()

    def more() -> dict[str, int]:
        now = count_all(engine)
        return {name: now[name] - before[name] for name in before if now[name] > before[name]}

    with contextlib.suppress(pytest.fail.Exception):
        wait_for(lambda: not more(), "everything to be as before")
    assert more() == {}


def memory(engine: Engine) -> int:
    return sum(engine.ok("GET", "/atoll/memory").values())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_five_hundred_containers_leave_nothing(fresh_engine: Engine) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda n: lived(fresh_engine, n), range(100)))  # warm: caches and thread stacks are there
        before, used = count_all(fresh_engine), memory(fresh_engine)
        list(pool.map(lambda n: lived(fresh_engine, n), range(500)))
    settle(fresh_engine, before)
    assert memory(fresh_engine) < used * 1.1
    assert fresh_engine.ok("GET", "/containers/json", all=1) == []


class Storm:
    """Clients that create, start, exec and remove for as long as they may, whatever becomes of the agent."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self._engine, self._random = engine, random.Random(seed)
        self._over = threading.Event()
        self._numbers = iter(range(1 << 30))
        self.done = 0

    def _try(self, work: Callable[[], Any]) -> Any:
        """The answer, or None when the agent went away meanwhile."""
        with contextlib.suppress(OSError, AssertionError, ValueError, KeyError, EOFError):
            return work()
        return None

    def _turn(self) -> None:
        engine, name = self._engine, f"squall-{next(self._numbers)}"
        body = {"Image": "atoll/base", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "bridge"}}
        self._try(lambda: engine.call("POST", "/containers/create", body, name=name))
        self._try(lambda: engine.call("POST", f"/containers/{name}/start"))
        self._try(lambda: engine.execute(name, "true"))
        self._try(lambda: engine.call("DELETE", f"/containers/{name}", force=1))
        self.done += 1

    def rage(self) -> None:
        while not self._over.is_set():
            self._turn()

    def run(self, kills: int) -> None:
        """Kill the agent so many times at moments of chance while the clients work."""
        threads = [threading.Thread(target=self.rage) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(kills):
                wait_for(self._engine.answers, "the agent to come back")
                threading.Event().wait(self._random.uniform(0, 0.4))
                with contextlib.suppress(LookupError, ProcessLookupError):
                    os.kill(self._engine.agent_pid, signal.SIGKILL)
        finally:
            self._over.set()
            for thread in threads:
                thread.join(60)
        wait_for(self._engine.answers, "the agent to come back")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_agent_killed_fifty_times_in_a_storm(fresh_engine: Engine) -> None:
    lived(fresh_engine, 0)
    before = count_all(fresh_engine)
    storm = Storm(fresh_engine, seed=7)
    storm.run(kills=50)
    assert storm.done
    for row in fresh_engine.ok("GET", "/containers/json", all=1):
        details = fresh_engine.ok("GET", f"/containers/{row['Id']}/json")
        alive = details["State"]["Pid"] and Path(f"/proc/{details['State']['Pid']}").exists()
        assert bool(alive) == details["State"]["Running"], details["State"]
        fresh_engine.ok("DELETE", f"/containers/{row['Id']}", force=1)
    settle(fresh_engine, before)
    lived(fresh_engine, 1)
