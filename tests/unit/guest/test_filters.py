"""What is chosen by name, filter or key: lists, events, names and detach keys."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("the engine runs on Linux", allow_module_level=True)

from atoll_agent.api.errors import AgentError, not_found
from atoll_agent.engine import events as events_module
from atoll_agent.engine.container_filters import matches_container
from atoll_agent.engine.events import QUEUE, Events, matches
from atoll_agent.engine.image_filters import image_matches, matches_reference
from atoll_agent.engine.inspect import describe_span, parse_time
from atoll_agent.engine.names import check_name, generate_name
from atoll_agent.engine.nouns.execs import parse_detach_keys
from atoll_agent.engine.records import EXITED, Container, State
from atoll_agent.network.firewall import Port

# -- containers ------------------------------------------------------------------------------

CONTAINER = Container(
    id="abc" + "0" * 61,
    name="web-1",
    created_ns=5,
    image="nginx:1.25",
    image_id="sha256:" + "f" * 64,
    layers=[],
    config={"Labels": {"tier": "front", "empty": ""}, "ExposedPorts": {"80/tcp": {}, "90-95/udp": {}}},
    host_config={"NetworkMode": "bridge"},
    endpoints={"bridge": {}},
    mounts=[{"Name": "data", "Destination": "/var/data"}, {"Destination": "/bind"}],
    state=State(EXITED, exit_code=3, ports=[Port("tcp", "", 8080, "172.17.0.2", 80, "br")]),
)


def find_other(name: str) -> Container:
    """A container that was made before or after."""
    if name not in ("older", "newer"):
        raise not_found(f"No such container: {name}")
    return dataclasses.replace(CONTAINER, id=name, created_ns=1 if name == "older" else 9)


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({}, True),
        ({"id": ["abc"]}, True),
        ({"id": ["bc"]}, False),
        ({"name": ["web"]}, True),
        ({"name": ["/web-1"]}, True),
        ({"name": ["db"]}, False),
        ({"name": ["db", "web"]}, True),
        ({"name": ["^web-1$"]}, True),
        ({"name": ["^/web-[0-9]+$"]}, True),
        ({"name": ["^eb"]}, False),
        ({"name": ["web("]}, False),
        ({"status": ["exited"]}, True),
        ({"status": ["running", "created"]}, False),
        ({"exited": ["3"]}, True),
        ({"exited": ["0"]}, False),
        ({"label": ["tier"]}, True),
        ({"label": ["tier=front"]}, True),
        ({"label": ["empty="]}, True),
        ({"label": ["tier=back"]}, False),
        ({"label": ["tier", "missing"]}, False),
        ({"ancestor": ["nginx:1.25"]}, True),
        ({"ancestor": ["docker.io/library/nginx:1.25"]}, True),
        ({"ancestor": ["nginx"]}, False),
        ({"ancestor": ["f" * 12]}, True),
        ({"ancestor": ["sha256:" + "f" * 64]}, True),
        ({"ancestor": ["Not A Name"]}, False),
        ({"network": ["bridge"]}, True),
        ({"network": ["none"]}, False),
        ({"volume": ["data"]}, True),
        ({"volume": ["/bind"]}, True),
        ({"volume": ["other"]}, False),
        ({"status": ["exited"], "name": ["db"]}, False),
        ({"status": []}, True),
        ({"before": ["newer"]}, True),
        ({"before": ["older"]}, False),
        ({"since": ["older"]}, True),
        ({"since": ["newer"]}, False),
        ({"expose": ["80"]}, True),
        ({"expose": ["92/udp"]}, True),
        ({"expose": ["92"]}, False),
        ({"publish": ["70-80/tcp"]}, True),
        ({"publish": ["8080"]}, False),
        ({"is-task": ["true"]}, False),
        ({"label!": ["tier"]}, False),
    ],
)
def test_container_filters(filters: dict[str, list[str]], passes: bool) -> None:
    assert matches_container(CONTAINER, filters, find_other) is passes


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"status": ["asleep"]}, "invalid filter 'status=asleep'"),
        ({"health": ["fine"]}, "invalid filter 'health=fine'"),
        ({"exited": ["x"]}, "a number is expected"),
        ({"before": ["nobody"]}, "No such container: nobody"),
        ({"expose": ["x"]}, "x"),
    ],
)
def test_values_that_make_no_sense(filters: dict[str, list[str]], words: str) -> None:
    with pytest.raises(AgentError, match=words):
        matches_container(CONTAINER, filters, find_other)


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(AgentError, match="invalid filter 'colour'") as caught:
        matches_container(CONTAINER, {"colour": ["red"]}, find_other)
    assert caught.value.status == 400


# -- images ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pattern", "passes"),
    [
        ("alpine:3", "alpine", True),
        ("alpine:3", "alpine:3", True),
        ("alpine:3", "alp*", True),
        ("alpine:3", "alpine:4", False),
        ("alpine:3", "lpine", False),
        ("h:5000/a/b:1", "h:5000/a/b", True),
        ("h:5000/a/b:1", "h:5000/a/*:1", True),
    ],
)
def test_image_references(name: str, pattern: str, passes: bool) -> None:
    assert matches_reference(name, [pattern]) is passes


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({}, True),
        ({"dangling": ["true"]}, False),
        ({"dangling": ["1"]}, False),
        ({"dangling": ["false"]}, True),
        ({"dangling": []}, True),
        ({"label": ["a=b"]}, True),
        ({"label": ["a", "c"]}, False),
        ({"reference": ["any"]}, True),
    ],
)
def test_image_filters(filters: dict[str, list[str]], passes: bool) -> None:
    assert image_matches({"RepoTags": ["x:1"], "Labels": {"a": "b"}}, filters) is passes


# -- events ----------------------------------------------------------------------------------


def event(kind: str = "container", action: str = "start", **attributes: str) -> dict[str, Any]:
    return {"Type": kind, "Action": action, "Actor": {"ID": "abcdef", "Attributes": attributes}}


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({}, True),
        ({"type": ["container"]}, True),
        ({"type": ["image"]}, False),
        ({"type": ["image", "container"]}, True),
        ({"event": ["exec_create"]}, True),
        ({"event": ["exec_create: sh"]}, True),
        ({"event": ["start"]}, False),
        ({"container": ["web"]}, True),
        ({"container": ["abc"]}, True),
        ({"container": ["eb"]}, False),
        ({"image": ["nginx:1"]}, True),
        ({"image": ["other"]}, False),
        ({"label": ["tier=front"]}, True),
        ({"label": ["tier", "missing"]}, False),
        ({"scope": ["local"]}, True),
        ({"scope": ["swarm"]}, False),
        ({"volume": ["web"]}, False),
        ({"type": ["container"], "event": ["start"]}, False),
        ({"type": []}, True),
    ],
)
def test_event_filters(filters: dict[str, list[str]], passes: bool) -> None:
    one = event(action="exec_create: sh", name="web", image="nginx:1", tier="front")
    assert matches(one, filters) is passes


def test_a_listener_hears_what_happens_after_it_was_made() -> None:
    """Whoever has the answer's first bytes may act at once; what that causes must not be missed."""
    events = Events()
    listener = events.listen(None, None)
    events.publish("container", "start", "c1", {"image": "a", "name": "n"})
    heard = next(listener)
    assert heard is not None
    assert (heard["status"], heard["id"], heard["from"], heard["scope"]) == ("start", "c1", "a", "local")
    assert heard["time"] == heard["timeNano"] // 10**9
    listener.close()  # type: ignore[attr-defined]
    assert events._listeners == []


def test_the_past_is_told_within_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    events = Events()
    clock = iter(range(1, 1000))
    monkeypatch.setattr(events_module.time, "time_ns", lambda: next(clock))
    for name in "abcde":
        events.publish("image", "tag", name, {})
    told = [e["id"] for e in events.listen(2, 4) if e]
    assert told == ["b", "c", "d"]


def test_a_listener_that_does_not_keep_up_is_told_what_fits_and_then_the_end() -> None:
    events = Events()
    listener = events.listen(None, None)
    for number in range(QUEUE + 10):
        events.publish("image", "tag", str(number), {})
    assert events._listeners == []
    assert [e["id"] for e in listener if e] == [str(number) for number in range(QUEUE)]


# -- names and keys --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ab", "a1", "/web", "A_b.c-d", "9lives", "a" * 255])
def test_name(name: str) -> None:
    assert check_name(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["", "/", "a", "-a", "_a", ".a", "a b", "a/b", "//a", "ä1", "ab\n", "a" * 256])
def test_not_a_name(name: str) -> None:
    with pytest.raises(AgentError, match="Invalid container name") as caught:
        check_name(name)
    assert caught.value.status == 400


def test_generated_names_are_names() -> None:
    names = {generate_name() for _ in range(200)}
    assert len(names) > 100
    assert all(check_name(name) == name and name.count("_") == 1 for name in names)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", b"\x10\x11"),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("ctrl-a", b"\x01"),
        ("ctrl-z,x", b"\x1ax"),
        ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x00\x1b\x1c\x1d\x1e\x1f"),
        ("a,B,1", b"aB1"),
    ],
)
def test_detach_keys(text: str, keys: bytes) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ctrl-ab", "ctrl-A,", ",", "ab", "é", "ctrl-é", "ctrl-p ctrl-q"])
def test_unknown_detach_keys(text: str) -> None:
    with pytest.raises(AgentError, match="Unknown character") as caught:
        parse_detach_keys(text)
    assert caught.value.status == 400


@given(st.text(max_size=20))
def test_any_detach_keys_are_keys_or_a_bad_request(text: str) -> None:
    with contextlib.suppress(AgentError):
        assert parse_detach_keys(text)


# -- words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (119, "About a minute"),
     (120, "2 minutes"), (3599, "59 minutes"), (3600, "About an hour"), (7200, "2 hours"), (48 * 3600, "2 days"),
     (14 * 86400, "2 weeks"), (61 * 86400, "2 months"), (3 * 365 * 86400, "3 years")],
)  # fmt: skip
def test_span(seconds: int, words: str) -> None:
    assert describe_span(seconds) == words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2023-11-14T22:13:20Z", 1_700_000_000), ("2023-11-14T22:13:20.123456789Z", 1_700_000_000), ("", 0), ("x", 0),
     ("0001-01-01T00:00:00Z", -62135596800), ("2023-11-14T23:13:20+01:00", 1_700_000_000)],
)  # fmt: skip
def test_time(text: str, seconds: int) -> None:
    assert parse_time(text) == seconds
