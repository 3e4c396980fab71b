"""Readiness as a table: conditions in order, each with a deadline of its own and a name for the error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BootError


class GuestDied(BootError):
    """QEMU ended while it was waited for."""


@dataclass(frozen=True)
class Requirement:
    """One condition.

    Attributes:
        name: completes the sentence "... did not happen".
        wait: waits until it holds.
        deadline_s: how long that may take.
    """

    name: str
    wait: Callable[[], Awaitable[object]]
    deadline_s: float


async def meet(requirements: Sequence[Requirement], death: Coroutine[Any, Any, str]) -> None:
    """Wait for all conditions in order.

    Arguments:
        death: ends, with the reason, when waiting has become useless.

    Raises:
        GuestDied: death came first.
        BootError: a deadline passed.
    """
    dying = asyncio.ensure_future(death)
    try:
        for requirement in requirements:
            waiting = asyncio.ensure_future(requirement.wait())
            done, _ = await asyncio.wait(
                {waiting, dying}, timeout=requirement.deadline_s, return_when=asyncio.FIRST_COMPLETED
            )
            if waiting in done:
                waiting.result()
                continue
            waiting.cancel()
            if dying in done:
                raise GuestDied(f"{dying.result()} before {requirement.name}")
            raise BootError(f"{requirement.deadline_s:.0f} s passed before {requirement.name}")
    finally:
        dying.cancel()
