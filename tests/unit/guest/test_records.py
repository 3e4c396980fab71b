"""What is remembered on disk: containers and volumes, after crashes and on bad days."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from atoll_agent import disk
from atoll_agent.engine.records import CREATED, EXITED, NEVER, Container, RecordStore, State

if not hasattr(os, "O_DIRECTORY"):
    pytest.skip("records are kept on POSIX systems", allow_module_level=True)


def make_container(number: int = 1, **more: Any) -> Container:
    return Container(
        id=f"{number:064x}",
        name=f"c{number}",
        created_ns=number,
        image="a",
        image_id="sha256:0",
        layers=["/l"],
        config={"Cmd": ["sh"], "Env": ["A=é\udcff"]},
        host_config={"AutoRemove": False},
        **more,
    )


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path)


def load(tmp_path: Path) -> list[Container]:
    return RecordStore(tmp_path).load_all()


# -- atomic writes ---------------------------------------------------------------------------


def test_a_write_replaces_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    disk.write_json(path, {"a": 1})
    disk.write_atomically(path, b"new", durable=False)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk.os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        disk.write_atomically(path, b"newer")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"new")]


def test_a_write_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(disk.os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:3]))
    disk.write_atomically(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


# -- containers ------------------------------------------------------------------------------


def test_a_container_comes_back_as_it_was(store: RecordStore, tmp_path: Path) -> None:
    made = make_container(endpoints={"bridge": {}}, mounts=[{"Type": "bind"}])
    store.create(made)
    assert load(tmp_path) == [made]
    made.state = State(EXITED, exit_code=3, started_ns=5, finished_ns=1_700_000_000_000_000_000)
    store.save_state(made)
    made.name = "renamed"
    store.save_config(made)
    (found,) = load(tmp_path)
    assert found == made
    assert (found.started_at(), found.finished_at()) == (
        "1970-01-01T00:00:00.000000005Z", "2023-11-14T22:13:20.000000000Z",
    )  # fmt: skip
    assert make_container().started_at() == make_container().finished_at() == NEVER


def test_of_a_removed_container_nothing_stays(store: RecordStore, tmp_path: Path) -> None:
    kept, gone = make_container(1), make_container(2)
    for container in (kept, gone):
        store.create(container)
    (store.overlay(gone.id) / "upper/file").write_text("1")
    store.remove(gone.id)
    store.remove(gone.id)
    assert load(tmp_path) == [kept]
    assert not [path for path in tmp_path.rglob("*") if gone.id in path.name]


def test_what_a_crash_left_half_removed_goes_at_the_next_start(store: RecordStore, tmp_path: Path) -> None:
    made = make_container()
    store.create(made)
    store.directory(made.id).rename(tmp_path / "removing" / f"record-{made.id}")
    assert load(tmp_path) == []
    assert not [path for path in tmp_path.rglob("*") if made.id in path.name]


@pytest.mark.parametrize("text", [b"", b"{", b"\0" * 100, b"[]", b"null", b'{"status": 5', b'{"unknown": 1}'])
def test_a_torn_state_does_not_cost_the_container(store: RecordStore, tmp_path: Path, text: bytes) -> None:
    """A state is not always synced: after a power cut it may be empty. What was asked for is."""
    made = make_container()
    store.create(made)
    (store.overlay(made.id) / "upper/work-of-days").write_text("1")
    (store.directory(made.id) / "state.json").write_bytes(text)
    (found,) = load(tmp_path)
    assert (found.id, found.name, found.state.status) == (made.id, made.name, CREATED)
    assert (store.overlay(made.id) / "upper/work-of-days").exists()


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"5", b"{}", b'{"static": {}, "state": {}}', b'{"static": [], "state": {}}',
     b'{"static": 5}', "foreign"],
)  # fmt: skip
def test_a_record_that_cannot_be_read_is_set_aside_with_its_data(
    store: RecordStore, tmp_path: Path, text: bytes | str, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = make_container(1), make_container(2)
    for container in (good, bad):
        store.create(container)
    (store.overlay(bad.id) / "upper/work-of-days").write_text("1")
    path = store.directory(bad.id) / "config.json"
    path.write_bytes((store.directory(good.id) / "config.json").read_bytes() if isinstance(text, str) else text)
    with caplog.at_level(logging.ERROR):
        assert load(tmp_path) == [good]
    assert bad.id in caplog.text
    assert (tmp_path / "broken" / bad.id / "config.json").exists()
    assert [p.read_text() for p in tmp_path.rglob("work-of-days")] == ["1"]
    assert load(tmp_path) == [good]
    assert [p.read_text() for p in tmp_path.rglob("work-of-days")] == ["1"]


def test_an_overlay_without_a_container_goes(store: RecordStore, tmp_path: Path) -> None:
    (tmp_path / "overlay" / ("f" * 64) / "upper").mkdir(parents=True)
    assert load(tmp_path) == []
    assert list((tmp_path / "overlay").iterdir()) == []


def test_what_was_never_finished_goes(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    store.directory("a" * 64).mkdir()
    (store.overlay("a" * 64) / "upper").mkdir(parents=True)
    assert store.load_all() == []
    assert not store.directory("a" * 64).exists() and not store.overlay("a" * 64).exists()
    assert not (tmp_path / "broken").exists()


def test_one_that_lost_its_settings_is_set_aside(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    store.directory("a" * 64).mkdir()
    (store.directory("a" * 64) / "state.json").write_text("{}")
    assert store.load_all() == []
    assert (tmp_path / "broken" / ("a" * 64) / "state.json").exists()
