"""Who a process runs as: Docker's rules, read from files that the image wrote."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("roots are opened on Linux", allow_module_level=True)

from atoll_agent.runtime.users import Identity, UnknownUser, find_identity

PASSWD = """\
# a comment
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/usr/sbin:/sbin/nologin
app:x:1000:1001:An App:/srv/app:/bin/sh
homeless:x:1002:1002:::
short:x:1003:1003
1500:x:1600:1600::/numeric:
broken
:::
bad:x:one:two::/bad:
huge:x:4294967295:0::/huge:
hugegroup:x:5:4294967295::/huge:
superscript:x:²:0::/:
"""
GROUP = """\
root:x:0:
daemon:x:1:app
audio:x:29:daemon,app
app:x:1001:
video:x:44:application
2000:x:2001:
bad:x:x:app
broken
huge:x:4294967295:
"""

Root = Callable[[str | None, str | None], int]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    """Makes a root with these files and opens it."""
    opened: list[int] = []

    def make(passwd: str | None = PASSWD, group: str | None = GROUP) -> int:
        (tmp_path / "etc").mkdir(exist_ok=True)
        for name, text in (("passwd", passwd), ("group", group)):
            (tmp_path / "etc" / name).unlink(missing_ok=True)
            if text is not None:
                (tmp_path / "etc" / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        opened.append(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY))
        return opened[-1]

    yield make
    for descriptor in opened:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("user", "extra", "identity"),
    [
        ("", [], Identity(0, 0, (0,), "/root")),
        ("root", [], Identity(0, 0, (0,), "/root")),
        ("0", [], Identity(0, 0, (0,), "/root")),
        ("app", [], Identity(1000, 1001, (1, 29, 1001), "/srv/app")),
        ("1000", [], Identity(1000, 1001, (1, 29, 1001), "/srv/app")),
        ("daemon", [], Identity(1, 1, (1, 29), "/usr/sbin")),
        ("app:daemon", [], Identity(1000, 1, (1,), "/srv/app")),
        ("app:5", [], Identity(1000, 5, (5,), "/srv/app")),
        ("1000:1000", [], Identity(1000, 1000, (1000,), "/srv/app")),
        ("4242", [], Identity(4242, 0, (0,), "/")),
        ("4242:audio", [], Identity(4242, 29, (29,), "/")),
        ("app", ["video", "77"], Identity(1000, 1001, (1, 29, 44, 77, 1001), "/srv/app")),
        ("homeless", [], Identity(1002, 1002, (1002,), "/")),
        ("short", [], Identity(1003, 1003, (1003,), "/")),
        ("1500", [], Identity(1600, 1600, (1600,), "/numeric")),
        ("app:2000", [], Identity(1000, 2001, (2001,), "/srv/app")),
        ("2147483647", [], Identity(2147483647, 0, (0,), "/")),
        (":audio", [], Identity(0, 29, (29,), "/root")),
    ],
)
def test_identity(root: Root, user: str, extra: list[str], identity: Identity) -> None:
    assert find_identity(root(PASSWD, GROUP), user, extra) == identity


@pytest.mark.parametrize(
    ("user", "extra", "words"),
    [
        ("nobody", [], "unable to find user nobody: no matching entries in passwd file"),
        ("bad", [], "unable to find user bad"),
        ("broken", [], "unable to find user broken"),
        ("superscript", [], "unable to find user superscript"),
        ("app:nothing", [], "unable to find group nothing: no matching entries in group file"),
        ("app", ["nothing"], "unable to find group nothing"),
        ("app:bad", [], "unable to find group bad"),
        ("2147483648", [], "range"),
        ("app:2147483648", [], "range"),
        ("-1", [], "unable to find user -1"),
        ("99999999999", [], "unable to find user 99999999999"),
        ("²", [], "unable to find user"),
        ("huge", [], "range"),
        ("hugegroup", [], "range"),
        ("4294967295", [], "range"),
        ("app:huge", [], "range"),
        ("app", ["huge"], "range"),
    ],
)
def test_no_such_identity(root: Root, user: str, extra: list[str], words: str) -> None:
    with pytest.raises(UnknownUser, match=words):
        find_identity(root(PASSWD, GROUP), user, extra)


def test_without_files_only_numbers_are_known(root: Root) -> None:
    empty = root(None, None)
    assert find_identity(empty, "", []) == Identity(0, 0, (0,), "/")
    assert find_identity(empty, "7:8", ["9"]) == Identity(7, 8, (8, 9), "/")
    with pytest.raises(UnknownUser):
        find_identity(empty, "root", [])


def test_files_are_never_those_outside(root: Root, tmp_path: Path) -> None:
    here = root("", "")
    (tmp_path / "etc/passwd").unlink()
    (tmp_path / "etc/passwd").symlink_to("/etc/passwd")
    with pytest.raises(UnknownUser):
        find_identity(here, "root", [])
    (tmp_path / "etc/passwd").unlink()
    os.mkfifo(tmp_path / "etc/passwd")
    with pytest.raises(UnknownUser):
        find_identity(here, "root", [])


FIELDS = st.sampled_from(["a", "root", "0", "1", "-1", "4294967295", "9" * 30, "²", "", "x", "a,root", "\udcff"])
LINES = st.lists(st.lists(FIELDS, max_size=7).map(":".join), max_size=6).map("\n".join)


@given(LINES, LINES, FIELDS, FIELDS)
def test_any_files_give_an_identity_the_kernel_takes_or_a_declared_error(
    tmp_path_factory: pytest.TempPathFactory, passwd: str, group: str, user: str, extra: str
) -> None:
    home = tmp_path_factory.mktemp("root")
    (home / "etc").mkdir()
    (home / "etc/passwd").write_bytes(passwd.encode("utf-8", "surrogateescape"))
    (home / "etc/group").write_bytes(group.encode("utf-8", "surrogateescape"))
    root = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = find_identity(root, user, [extra])
        assert all(0 <= number < 1 << 31 for number in (found.uid, found.gid, *found.groups))
        assert found.gid in found.groups
    except UnknownUser:
        pass
    finally:
        os.close(root)
