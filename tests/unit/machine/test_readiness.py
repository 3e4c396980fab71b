"""Readiness: conditions in order, each with its deadline, and death before all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from atoll.errors import BootError, ProtocolError
from atoll.machine.readiness import GuestDied, Requirement, meet


async def never() -> str:
    await asyncio.Event().wait()
    return "never"


async def at_once() -> str:
    return "QEMU ended with exit code 3"


def wait_on(name: str, met: list[str]) -> Callable[[], Awaitable[object]]:
    async def wait() -> None:
        await asyncio.sleep(0)
        met.append(name)

    return wait


def test_all_in_order() -> None:
    met: list[str] = []
    asyncio.run(meet([Requirement(name, wait_on(name, met), 30) for name in "abc"], never()))
    assert met == ["a", "b", "c"]


def test_nothing_to_wait_for() -> None:
    asyncio.run(meet([], never()))


def test_a_deadline_names_what_did_not_happen_and_the_rest_is_not_begun() -> None:
    met: list[str] = []
    table = [
        Requirement("the lights are on", wait_on("a", met), 30),
        Requirement("the agent answers", never, 0.01),
        Requirement("all is well", wait_on("c", met), 30),
    ]
    with pytest.raises(BootError, match=r"^0 s passed before the agent answers$") as caught:
        asyncio.run(meet(table, never()))
    assert not isinstance(caught.value, GuestDied)
    assert met == ["a"]


def test_death_ends_waiting() -> None:
    with pytest.raises(GuestDied, match=r"^QEMU ended with exit code 3 before the agent answers$"):
        asyncio.run(meet([Requirement("the agent answers", never, 30)], at_once()))


def test_what_is_met_in_the_same_moment_as_death_is_met() -> None:
    met: list[str] = []

    async def ready() -> None:
        met.append("ready")

    asyncio.run(meet([Requirement("ready", ready, 30)], at_once()))
    assert met == ["ready"]


def test_an_error_of_a_condition_is_passed_on() -> None:
    async def wrong() -> None:
        raise ProtocolError("the agent answers nonsense")

    with pytest.raises(ProtocolError, match="nonsense"):
        asyncio.run(meet([Requirement("the agent answers", wrong, 30)], never()))


@pytest.mark.parametrize("deadline_s", [0.01, 30])
def test_nothing_goes_on_afterwards(deadline_s: float) -> None:
    cancelled: list[str] = []

    def wait(name: str) -> Callable[[], Awaitable[str]]:
        async def work() -> str:
            try:
                return await never()
            except asyncio.CancelledError:
                cancelled.append(name)
                raise

        return work

    async def work() -> None:
        death = wait("death") if deadline_s < 1 else at_once
        with pytest.raises(BootError):
            await meet([Requirement("x", wait("condition"), deadline_s)], death())  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(work())
    assert "condition" in cancelled
