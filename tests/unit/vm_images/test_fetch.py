"""Downloads over a bad network, from bad mirrors."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path
from typing import Any

import pytest

from atoll_images.errors import ImageError
from atoll_images.fetch import Fetcher, Wanted

DATA = bytes(range(256)) * 1000


def wanted(*addresses: str, data: bytes = DATA, name: str = "file") -> Wanted:
    return Wanted(name, len(data), hashlib.sha256(data).hexdigest(), addresses)


@pytest.fixture
def fetcher(tmp_path: Path, recorder: Any) -> Fetcher:
    return Fetcher(tmp_path / "cache", recorder, backoff_s=0.001)


def test_fetches_once(server: Any, fetcher: Fetcher, recorder: Any) -> None:
    server.files["/f"] = DATA
    file = wanted(f"{server.base}/f")
    assert fetcher.fetch_all([file]) == []
    assert fetcher.path(file).read_bytes() == DATA
    assert recorder.bytes == len(DATA)
    assert fetcher.fetch_all([file]) == []
    assert len(server.requests) == 1


def test_resumes_after_the_connection_breaks(server: Any, fetcher: Fetcher) -> None:
    server.files["/f"] = DATA
    server.broken.add("/f")
    file = wanted(f"{server.base}/f")
    fetcher.fetch_all([file])
    assert fetcher.path(file).read_bytes() == DATA
    assert server.requests == [("/f", None), ("/f", f"bytes={len(DATA) // 2}-")]


def test_resumes_what_an_earlier_run_left(server: Any, fetcher: Fetcher, recorder: Any) -> None:
    server.files["/f"] = DATA
    file = wanted(f"{server.base}/f")
    fetcher.path(file).parent.mkdir()
    Path(f"{fetcher.path(file)}.part").write_bytes(DATA[:1000])
    fetcher.fetch_all([file])
    assert server.requests == [("/f", "bytes=1000-")]
    assert recorder.bytes == len(DATA)


def test_a_wrong_beginning_is_thrown_away(server: Any, fetcher: Fetcher) -> None:
    server.files["/f"] = DATA
    file = wanted(f"{server.base}/f")
    fetcher.path(file).parent.mkdir()
    Path(f"{fetcher.path(file)}.part").write_bytes(b"wrong")
    fetcher.fetch_all([file])
    assert fetcher.path(file).read_bytes() == DATA


def test_tampered_content_never_gets_its_name(server: Any, fetcher: Fetcher) -> None:
    server.files["/f"] = b"X" * len(DATA)
    file = wanted(f"{server.base}/f")
    with pytest.raises(ImageError, match="hash"):
        fetcher.fetch_all([file])
    assert not fetcher.path(file).exists()


def test_more_than_expected_is_refused(server: Any, fetcher: Fetcher) -> None:
    server.files["/f"] = DATA + b"more"
    with pytest.raises(ImageError, match="cannot fetch"):
        fetcher.fetch_all([wanted(f"{server.base}/f")])


def test_a_cached_file_that_rotted_is_fetched_again(server: Any, fetcher: Fetcher) -> None:
    server.files["/f"] = DATA
    file = wanted(f"{server.base}/f")
    fetcher.path(file).parent.mkdir()
    fetcher.path(file).write_bytes(b"Y" * len(DATA))
    fetcher.fetch_all([file])
    assert fetcher.path(file).read_bytes() == DATA


def test_the_next_mirror_is_asked(server: Any, fetcher: Fetcher) -> None:
    server.files["/b/f"] = DATA
    assert fetcher.fetch_all([wanted(f"{server.base}/a/f", f"{server.base}/b/f")]) == []


def test_gone_everywhere_is_told_not_raised(server: Any, fetcher: Fetcher) -> None:
    server.files["/here"] = DATA
    lost = wanted(f"{server.base}/lost", name="lost")
    assert fetcher.fetch_all([lost, wanted(f"{server.base}/here", name="here")]) == [lost]


def test_gone_where_it_was_and_nobody_else_answers(server: Any, fetcher: Fetcher) -> None:
    lost = wanted(f"{server.base}/lost", "http://127.0.0.1:9/lost")
    assert fetcher.fetch_all([lost]) == [lost]


def test_a_mirror_that_does_not_answer_is_not_asked_for_every_file(
    server: Any, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    download = Fetcher._download

    def count(self: Fetcher, address: str, *arguments: Any) -> None:
        asked.append(address)
        download(self, address, *arguments)

    monkeypatch.setattr(Fetcher, "_download", count)
    for i in range(5):
        server.files[f"/{i}"] = DATA
        fetcher.fetch_all([wanted(f"http://127.0.0.1:9/{i}", f"{server.base}/{i}", name=f"file-{i}")])
    assert len([address for address in asked if ":9/" in address]) == 2


def test_no_network(fetcher: Fetcher) -> None:
    with pytest.raises(ImageError, match="cannot fetch") as caught:
        fetcher.fetch_all([wanted("http://127.0.0.1:9/f")])
    assert "--mirror" in caught.value.hint


def test_full_disk(server: Any, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["/f"] = DATA
    file = wanted(f"{server.base}/f")

    def full(self: Fetcher, *arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(Fetcher, "_copy", full)
    with pytest.raises(ImageError, match="no space left"):
        fetcher.fetch_all([file])
    assert not fetcher.path(file).exists()


def test_a_cached_file_that_was_cut_off_is_fetched_again(server: Any, fetcher: Fetcher) -> None:
    server.files["/f"] = DATA
    file = wanted(f"{server.base}/f")
    fetcher.path(file).parent.mkdir()
    fetcher.path(file).write_bytes(DATA[:-1])
    fetcher.fetch_all([file])
    assert fetcher.path(file).read_bytes() == DATA


@pytest.mark.parametrize(
    "wrong", [b"X" * len(DATA), b"<html>Please log in</html>", b"", DATA[:-1], DATA + b"more"],
    ids=["same size", "a page of the hotel", "nothing", "cut off", "more"],
)  # fmt: skip
def test_a_mirror_with_wrong_bytes_is_passed_over(server: Any, fetcher: Fetcher, wrong: bytes) -> None:
    """Nor does what it sent get mixed with what the next one sends."""
    server.files |= {"/bad/f": wrong, "/good/f": DATA}
    file = wanted(f"{server.base}/bad/f", f"{server.base}/good/f")
    assert fetcher.fetch_all([file]) == []
    assert fetcher.path(file).read_bytes() == DATA
    assert [path.name for path in fetcher.path(file).parent.iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["making the directory", "writing", "naming"])
def test_a_full_disk_is_told_and_the_next_try_goes_on(
    server: Any, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    server.files["/f"] = DATA
    file = wanted(f"{server.base}/f")
    copy = Fetcher._copy

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    def half(self: Fetcher, response: Any, write: Any, limit: int) -> None:
        written: list[int] = []

        def write_some(data: bytes) -> int:
            if written:
                full()
            written.append(write(data))
            return written[0]

        copy(self, response, write_some, limit)

    with monkeypatch.context() as patch:
        match step:
            case "making the directory":
                patch.setattr(Path, "mkdir", full)
            case "writing":
                patch.setattr(Fetcher, "_copy", half)
            case "naming":
                patch.setattr(Path, "replace", full)
        with pytest.raises(ImageError, match="no space left"):
            fetcher.fetch_all([file])
        assert not fetcher.path(file).exists()
    fetcher.fetch_all([file])
    assert fetcher.path(file).read_bytes() == DATA
