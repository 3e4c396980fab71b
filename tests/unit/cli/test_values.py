"""Values of flags, also hostile ones."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.cli import values
from atoll.cli.console import keys
from atoll.cli.images import split_tag
from atoll.cli.moments import parse_moment, seconds_since
from atoll.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1024", 1024),
        ("1k", 1024),
        ("1.5G", 3 << 29),
        ("2mb", 2 << 20),
        ("1KiB", 1024),
        ("3 g", 3 << 30),
        ("7b", 7),
    ],
)
def test_size(text: str, size: int) -> None:
    assert values.parse_size(text) == size


@given(st.text())
def test_size_of_anything_is_a_number_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert values.parse_size(text) >= 0


@given(st.integers(min_value=0, max_value=10**6), st.integers(min_value=0, max_value=10**9 - 1))
def test_cpus_are_exact(whole: int, billionths: int) -> None:
    assert values.parse_cpus(f"{whole}.{billionths:09d}") == whole * 10**9 + billionths


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a", ("a", "latest")),
        ("a:1", ("a", "1")),
        ("h:5000/a", ("h:5000/a", "latest")),
        ("h:5000/a:1", ("h:5000/a", "1")),
    ],
)
def test_tag(name: str, parts: tuple[str, str]) -> None:
    assert split_tag(name) == parts


def test_volume_with_a_drive_letter() -> None:
    assert values.split_volumes(["C:\\data:/data", "/x"]) == (["C:\\data:/data"], {"/x": {}})


def test_moments() -> None:
    assert parse_moment("1h30m", now_s=10_000) == "4600.000000000"
    assert parse_moment("12.5") == "12.5"
    assert parse_moment("1970-01-01T00:01:00Z") == "60.000000000"
    assert parse_moment("") is None
    with pytest.raises(ConfigError):
        parse_moment("yesterday")
    assert seconds_since("1970-01-01T00:00:01.123456789Z", 2.0) == pytest.approx(0.876544)
    assert seconds_since("never", 2.0) is None


def test_detach_keys() -> None:
    assert keys.parse_keys(keys.DEFAULT) == b"\x10\x11"
    assert keys.parse_keys("ctrl-@,a,ctrl-[") == b"\0a\x1b"
    for text in ("ctrl-1", "ab", "ä", "ctrl-"):
        with pytest.raises(ValueError, match="unknown key"):
            keys.parse_keys(text)


@given(st.lists(st.binary(max_size=5)), st.sampled_from([b"\x10\x11", b"aab", b"x"]))
def test_detach_filter_loses_nothing_but_the_sequence(parts: list[bytes], sequence: bytes) -> None:
    watch = keys.DetachFilter(sequence)
    typed, passed, left = b"".join(parts), b"", False
    for part in parts:
        more, left = watch.feed(part)
        passed += more
        if left:
            break
    if left:
        assert typed.startswith(passed + sequence)
    else:
        assert typed.startswith(passed)
        assert sequence.startswith(typed[len(passed) :]) and typed[len(passed) :] != sequence
        assert sequence not in typed


def test_detach_filter_finds_a_sequence_that_begins_in_another() -> None:
    assert keys.DetachFilter(b"aab").feed(b"aaab") == (b"a", True)
