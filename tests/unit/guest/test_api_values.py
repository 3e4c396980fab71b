"""Seed, errors and versions: what host and guest tell each other besides streams."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll_agent.api.errors import AgentError, Kind, conflict, invalid, not_found
from atoll_agent.api.seed import NetworkSeed, Seed, parse_seed
from atoll_agent.api.version import API_VERSION, MIN_API_VERSION, parse_version

SEED = Seed("m", "host", time_ns=5, ssh_host_key="a2V5", authorized_keys=("ssh-ed25519 A", "ssh-ed25519 B"))


@pytest.mark.parametrize(
    "seed",
    [SEED, Seed("m", "h", network=NetworkSeed()), Seed("m", "h", network=NetworkSeed("10.1.0.2/16", "10.1.0.1", ""))],
)
def test_a_seed_comes_back_as_it_was(seed: Seed) -> None:
    assert parse_seed(seed.to_json()) == seed


def test_an_older_seed_gets_the_defaults() -> None:
    assert parse_seed('{"machine": "m", "hostname": "h"}') == Seed("m", "h")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        "{}",
        '{"machine": "m"}',
        '{"machine": "m", "hostname": "h", "unknown": 1}',
        '{"machine": "m", "hostname": "h", "authorized_keys": 5}',
        '{"machine": "m", "hostname": "h", "network": {"unknown": 1}}',
        '{"machine": "m", "hostname": "h", "network": "x"}',
    ],
)
def test_what_is_not_a_seed_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_seed(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["machine", "hostname", "network", "authorized_keys", "x"]), JSON))
def test_any_json_is_a_seed_or_a_value_error(value: object) -> None:
    with contextlib.suppress(ValueError):
        parse_seed(json.dumps(value))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (invalid("x"), 400),
        (not_found("x"), 404),
        (conflict("x"), 409),
        (AgentError(Kind.NOT_MODIFIED, "x"), 304),
        (AgentError(Kind.FORBIDDEN, "x"), 403),
        (AgentError(Kind.TOO_LARGE, "x"), 413),
        (AgentError(Kind.HEADERS_TOO_LARGE, "x"), 431),
        (AgentError(Kind.SYSTEM, "x"), 500),
        (AgentError(Kind.NOT_IMPLEMENTED, "x"), 501),
        (AgentError(Kind.UNAVAILABLE, "x"), 503),
    ],
)
def test_a_kind_has_its_status(error: AgentError, status: int) -> None:
    assert (error.status, error.message, str(error)) == (status, "x", "x")


@pytest.mark.parametrize(
    ("text", "version"), [("1.24", (1, 24)), ("1.51", (1, 51)), ("0.0", (0, 0)), ("12.3", (12, 3))]
)
def test_version(text: str, version: tuple[int, int]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["", ".", "1", "1.", ".5", "1.2.3", "v1.5", "1.5 ", "-1.5", "1.٣", "1.99999999999"])
def test_not_a_version(text: str) -> None:
    with pytest.raises(ValueError, match="not an API version"):
        parse_version(text)


def test_versions_compare_as_numbers_not_as_text() -> None:
    assert parse_version("1.9") < parse_version(MIN_API_VERSION) < parse_version(API_VERSION) < parse_version("1.100")
