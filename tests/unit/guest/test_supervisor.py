"""The supervisor's bookkeeping of processes, whichever of their reports and ends comes first."""

from __future__ import annotations

import itertools
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("epoll and pidfds are Linux's", allow_module_level=True)

from atoll_agent.runtime import init, launch
from atoll_agent.runtime.loop import Loop
from atoll_agent.runtime.supervisor import Process, Supervisor

FIRST, PROGRAM = 70_001, 70_002
EXITED_0, EXITED_7 = 0, 7 << 8


class Exec:
    """An exec on its way: what its processes do is up to the test."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.supervisor = Supervisor(self.loop)
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.answers: list[dict[str, Any]] = []
        launched = launch.Launched(FIRST, ours)
        self.process = Process(
            "key", "container", FIRST, self.supervisor._streams_of("key"), "", [], True,
            self.answers.append, ours, launched, 0, {"stdin_once": True, "terminal": False}, None,  # type: ignore[arg-type,typeddict-item]
        )  # fmt: skip
        self.supervisor._adopt(self.process)

    def report(self) -> None:
        """The first process tells the program's pid."""
        self.theirs.sendall(init.PID + PROGRAM.to_bytes(4, "big"))

    def execute(self) -> None:
        """The program is executed: the status socket closes."""
        self.theirs.close()

    def close(self) -> None:
        self.theirs.close()
        self.process.status.close()
        self.loop.close()


@pytest.fixture
def started() -> Iterator[Exec]:
    made = Exec()
    yield made
    made.close()


STEPS = ("report", "execute", "read", "first ends", "program ends")


def possible(order: tuple[str, ...]) -> bool:
    """The first process reports before it ends, and the program closes the socket before it ends."""
    at = order.index
    return at("report") < at("first ends") and at("report") < at("execute") < at("program ends")


@pytest.mark.parametrize("order", list(filter(possible, itertools.permutations(STEPS))))
def test_the_exit_code_is_the_programs(started: Exec, order: tuple[str, ...]) -> None:
    def read() -> None:
        if started.process.status.fileno() >= 0:
            started.supervisor._on_status(started.process)

    steps = {
        "report": started.report,
        "execute": started.execute,
        "read": read,
        "first ends": lambda: started.supervisor.child_ended(FIRST, EXITED_0),
        "program ends": lambda: started.supervisor.child_ended(PROGRAM, EXITED_7),
    }
    for step in order:
        steps[step]()
    while started.process.status.fileno() >= 0:
        read()
    ended = started.supervisor._do_list(None, {}, [])["ended"]  # type: ignore[arg-type]
    assert [(end["key"], end["pid"], end["exit_code"]) for end in ended] == [("key", PROGRAM, 7)]
    assert [answer["pid"] for answer in started.answers] == [PROGRAM]
    assert not started.supervisor._early


def test_a_program_that_ended_before_anybody_told_of_it(started: Exec) -> None:
    started.supervisor.child_ended(PROGRAM, EXITED_7)
    started.report()
    started.execute()
    started.supervisor.child_ended(FIRST, EXITED_0)
    while started.process.status.fileno() >= 0:
        started.supervisor._on_status(started.process)
    ended = started.supervisor._do_list(None, {}, [])["ended"]  # type: ignore[arg-type]
    assert [(end["pid"], end["exit_code"]) for end in ended] == [(PROGRAM, 7)]


@pytest.mark.parametrize("order", ["FP", "PF"])
@pytest.mark.parametrize("detail", [b'{"stage": "user", "errno": 1, "detail": "no"}', b'{"stage": "us'])
def test_a_failure_and_the_pid_come_in_any_order(started: Exec, order: str, detail: bytes) -> None:
    """Two processes report: were their reports read as one, the supervisor would end, and with it every container."""
    for kind in order:
        if kind == "P":
            started.report()
        else:
            started.theirs.sendall(init.FAILED + detail)
    started.supervisor.child_ended(FIRST, EXITED_0)
    started.execute()
    started.supervisor._on_status(started.process)
    started.supervisor.child_ended(PROGRAM, EXITED_7)
    assert [answer["kind"] for answer in started.answers] == ["start"]
    assert started.supervisor._do_list(None, {}, []) == {"running": [], "ended": []}  # type: ignore[arg-type]
