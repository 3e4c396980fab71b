"""`cp`: which way files go, and archives that wish this computer ill."""

from __future__ import annotations

import io
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.cli.cp import Place, Route, choose_route, split_argument, split_here, split_inner
from atoll.cli.pack import pack
from atoll.cli.unpack import stays_inside, unpack
from atoll.errors import HostError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("web:/srv", ("web", "/srv")),
        ("web:srv", ("web", "srv")),
        ("./a:b", ("", "./a:b")),
        ("plain", ("", "plain")),
        ("-", ("", "-")),
        (os.path.abspath("a:b"), ("", os.path.abspath("a:b"))),  # noqa: PTH100
    ],
)
def test_argument(text: str, parts: tuple[str, str]) -> None:
    assert split_argument(text) == parts


@pytest.mark.skipif(sys.platform != "win32", reason="drives")
def test_drive_is_no_container() -> None:
    assert split_argument("C:\\x") == ("", "C:\\x")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/etc/passwd", ("/etc", "passwd")),
        ("/etc/", ("/", "etc")),
        ("/etc/.", ("/etc", ".")),
        ("/", ("/", ".")),
        ("rel", (".", "rel")),
        (".", (".", ".")),
    ],
)
def test_path_of_a_container(path: str, parts: tuple[str, str]) -> None:
    assert split_inner(path) == parts


FILE, DIRECTORY, NOTHING = (True, False), (True, True), (False, False)


@pytest.mark.parametrize(
    ("source", "destination", "route"),
    [
        (("/a/f", FILE), ("/d", DIRECTORY), Route("/d", "f")),
        (("/a/f", FILE), ("/d/g", FILE), Route("/d", "g")),
        (("/a/f", FILE), ("/d/g", NOTHING), Route("/d", "g")),
        (("/a/f", FILE), ("/d/g/", NOTHING), None),
        (("/a/d", DIRECTORY), ("/d", DIRECTORY), Route("/d", "d")),
        (("/a/d/", DIRECTORY), ("/d", DIRECTORY), Route("/d", "d")),
        (("/a/d/.", DIRECTORY), ("/d", DIRECTORY), Route("/d", "")),
        (("/a/d", DIRECTORY), ("/d/n", NOTHING), Route("/d", "n")),
        (("/a/d/.", DIRECTORY), ("/d/n/", NOTHING), Route("/d", "n")),
        (("/a/d", DIRECTORY), ("/d/f", FILE), None),
    ],
)
def test_route(
    source: tuple[str, tuple[bool, bool]], destination: tuple[str, tuple[bool, bool]], route: Route | None
) -> None:
    here, there = (Place(path, *state) for path, state in (source, destination))
    arguments = (here, split_inner(here.path)[1], there, *split_inner(there.path))
    if route is None:
        with pytest.raises(HostError):
            choose_route(*arguments)
    else:
        assert choose_route(*arguments) == route


def archive(*members: tuple[str, bytes, bytes | str], mode: int = 0o644) -> Iterator[bytes]:
    """A tar archive of (name, type, content or link)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = kind, 0o755 if kind == tarfile.DIRTYPE else mode, 1_000_000
            if isinstance(content, str):
                info.linkname = content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    data = buffer.getvalue()
    for at in range(0, len(data), 700):
        yield data[at : at + 700]


DIR, REG, SYM, LNK = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def test_root_is_renamed(tmp_path: Path) -> None:
    parts = archive(("etc/", DIR, b""), ("etc/sub/", DIR, b""), ("etc/sub/a", REG, b"data" * 1000))
    assert list(unpack(parts, tmp_path, "copy")) == []
    assert (tmp_path / "copy" / "sub" / "a").read_bytes() == b"data" * 1000
    assert int((tmp_path / "copy" / "sub" / "a").stat().st_mtime) == 1_000_000
    assert int((tmp_path / "copy").stat().st_mtime) == 1_000_000


def test_only_what_is_in_it(tmp_path: Path) -> None:
    for root in ("./", "etc/"):
        assert list(unpack(archive((root, DIR, b""), (f"{root}a", REG, root.encode())), tmp_path, "")) == []
        assert (tmp_path / "a").read_text() == root


def test_file_replaces_a_file_not_what_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("old")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").symlink_to(tmp_path / "outside")
    assert list(unpack(archive(("d/", DIR, b""), ("d/a", REG, b"new")), tmp_path, "d")) == []
    assert (tmp_path / "outside").read_text() == "old"
    assert (tmp_path / "d" / "a").read_text() == "new"
    assert not (tmp_path / "d" / "a").is_symlink()


def test_links_that_stay_inside_are_made(tmp_path: Path) -> None:
    members = [("d/", DIR, b""), ("d/s/", DIR, b""), ("d/a", REG, b"x"), ("d/s/l", SYM, "../a"), ("d/h", LNK, "d/a")]
    assert list(unpack(archive(*members), tmp_path, "e")) == []  # type: ignore[arg-type]
    assert os.readlink(tmp_path / "e" / "s" / "l") == "../a"  # noqa: PTH115
    assert (tmp_path / "e" / "h").samefile(tmp_path / "e" / "a")


@pytest.mark.parametrize(
    "member",
    [
        ("d/l", SYM, "/etc/passwd"),
        ("d/l", SYM, "../../etc/passwd"),
        ("d/s/l", SYM, "../../x"),
        ("d/h", LNK, "d/nothing"),
        ("d/fifo", tarfile.FIFOTYPE, b""),
        ("d/null", tarfile.CHRTYPE, b""),
        ("d/disk", tarfile.BLKTYPE, b""),
    ],
)
def test_what_leads_out_or_is_no_file_is_left_out(tmp_path: Path, member: tuple[str, bytes, bytes | str]) -> None:
    (complaint,) = unpack(archive(("d/", DIR, b""), ("d/s/", DIR, b""), member, ("d/last", REG, b"x")), tmp_path, "d")
    assert complaint.startswith(f"left out {member[0]}")
    assert not os.path.lexists(tmp_path / member[0])
    assert (tmp_path / "d" / "last").exists()


@pytest.mark.parametrize(
    "members",
    [
        [("d/", DIR, b""), ("d/../../evil", REG, b"x")],
        [("d/", DIR, b""), ("../evil", REG, b"x")],
        [("d/", DIR, b""), ("/etc/evil", REG, b"x")],
        [("d/", DIR, b""), ("evil", REG, b"x")],
        [("../evil", REG, b"x")],
        [("d/", DIR, b""), ("d/s", SYM, "."), ("d/s/x", REG, b"x")],
        [("d/", DIR, b""), ("d/f", REG, b""), ("d/f/x", REG, b"x")],
        [("d/", DIR, b""), ("d/s/", DIR, b""), ("d/s", REG, b"x")],
    ],
)
def test_hostile_archive_is_refused(tmp_path: Path, members: list[tuple[str, bytes, bytes | str]]) -> None:
    inner = tmp_path / "one" / "two"
    inner.mkdir(parents=True)
    with pytest.raises(HostError):
        list(unpack(archive(*members), inner, "d"))
    assert not list(tmp_path.rglob("evil"))


def test_link_that_is_there_already_is_no_way_out(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (inside / "d").mkdir(parents=True)
    (inside / "d" / "s").symlink_to(outside, target_is_directory=True)
    with pytest.raises(HostError, match="not a directory"):
        list(unpack(archive(("d/", DIR, b""), ("d/s/x", REG, b"x")), inside, "d"))
    assert not list(outside.iterdir())


def test_archive_that_is_cut_off_or_none(tmp_path: Path) -> None:
    whole = b"".join(archive(("a", REG, b"x" * 5000)))
    for data in (whole[:2000], b"no archive" * 100):
        with pytest.raises(HostError):
            list(unpack(iter([data]), tmp_path, "a"))


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of Linux")
def test_bits_that_give_rights_are_dropped(tmp_path: Path) -> None:
    assert list(unpack(archive(("a", REG, b""), mode=0o6755), tmp_path, "a")) == []
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o755


@given(st.integers(-1, 4), st.lists(st.sampled_from(["..", ".", "", "a", "b"]), max_size=8).map("/".join))
def test_link_inside_means_inside(depth: int, target: str) -> None:
    if stays_inside(depth, target):
        start = "/".join(["root", *(["d"] * max(depth, 0))])
        assert Path(os.path.normpath(f"{start}/{target}")).parts[0] == "root"


@pytest.mark.skipif(sys.platform == "win32", reason="links of Linux")
def test_pack_and_unpack_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / ("n" * 150)).write_bytes(b"long" * 333)
    (source / "empty").touch(0o600)
    (source / "link").symlink_to("sub")
    assert list(unpack(pack(source, "renamed"), tmp_path, "target")) == []
    target = tmp_path / "target"
    assert (target / "sub" / ("n" * 150)).read_bytes() == b"long" * 333
    assert (target / "empty").stat().st_mode & 0o777 == 0o600
    assert os.readlink(target / "link") == "sub"  # noqa: PTH115


def test_split_here_keeps_the_dot(tmp_path: Path) -> None:
    assert split_here(f"{tmp_path}/.") == (str(tmp_path), ".")
    assert split_here(f"{tmp_path}/a/") == (str(tmp_path), "a")
