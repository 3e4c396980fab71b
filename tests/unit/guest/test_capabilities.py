"""Which capabilities a container has."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("capabilities are Linux's", allow_module_level=True)

from atoll_agent.api.errors import AgentError
from atoll_agent.engine.confinement import ALL, CAPABILITIES, DEFAULT_CAPABILITIES, mask_of, plan_capabilities

DEFAULT = 0xA80425FB
"""What /proc/self/status shows as CapEff in a container of Docker's."""


@pytest.mark.parametrize(
    ("add", "drop", "privileged", "mask"),
    [
        ([], [], False, DEFAULT),
        (["NET_ADMIN"], [], False, DEFAULT | 1 << 12),
        (["cap_net_admin"], [], False, DEFAULT | 1 << 12),
        ([], ["CHOWN"], False, DEFAULT & ~1),
        (["CHOWN"], ["CAP_CHOWN"], False, DEFAULT & ~1),
        (["ALL"], [], False, ALL),
        (["all"], ["SYS_ADMIN"], False, ALL & ~(1 << 21)),
        ([], ["ALL"], False, 0),
        (["NET_BIND_SERVICE"], ["ALL"], False, 1 << 10),
        (["ALL"], ["ALL"], False, ALL),
        (["CHECKPOINT_RESTORE"], ["ALL"], False, 1 << 40),
        ([], ["ALL"], True, ALL),
    ],
)
def test_capabilities(add: list[str], drop: list[str], privileged: bool, mask: int) -> None:
    assert plan_capabilities(add, drop, privileged=privileged) == mask


@pytest.mark.parametrize("name", ["", "CAP_", "NOTHING", "CAP_ALL", "CAP_CAP_CHOWN", "SYS ADMIN"])
def test_unknown_capabilities(name: str) -> None:
    for add, drop in (([name], []), ([], [name])):
        with pytest.raises(AgentError, match="unknown capability") as caught:
            plan_capabilities(add, drop, privileged=False)
        assert caught.value.status == 400


def test_every_capability_has_the_kernels_number() -> None:
    assert len(CAPABILITIES) == len(set(CAPABILITIES)) == 41
    known = {"CHOWN": 0, "KILL": 5, "NET_ADMIN": 12, "SYS_ADMIN": 21, "MKNOD": 27, "SETFCAP": 31, "BPF": 39}
    assert {name: CAPABILITIES.index(name) for name in known} == known
    assert mask_of(DEFAULT_CAPABILITIES) == DEFAULT
