"""Two streams out of one, however they are cut."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.client.demux import STDERR, STDOUT, Demultiplexer, DemuxError

FRAMES = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=50)), max_size=20)


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


@given(FRAMES, st.integers(min_value=1, max_value=60))
def test_frames_arrive_whole_in_pieces_of_any_size(frames: list[tuple[int, bytes]], size: int) -> None:
    raw = b"".join(frame(*one) for one in frames)
    demux = Demultiplexer()
    parts = [part for at in range(0, len(raw), size) for part in demux.feed(raw[at : at + size])]
    for stream in (STDOUT, STDERR):
        assert b"".join(d for s, d in parts if s == stream) == b"".join(d for s, d in frames if s == stream)
    assert demux.at_boundary


def test_part_of_a_frame_is_handed_on_at_once() -> None:
    demux = Demultiplexer()
    assert demux.feed(frame(STDERR, b"abcdef")[:-3]) == [(STDERR, b"abc")]
    assert not demux.at_boundary


@pytest.mark.parametrize("raw", [b"hello world", b"\x01\x01\0\0\0\0\0\1x", b"\x04\0\0\0\0\0\0\1x"])
def test_bytes_that_are_not_frames(raw: bytes) -> None:
    with pytest.raises(DemuxError):
        Demultiplexer().feed(raw)


@given(st.binary())
def test_hostile_bytes_raise_nothing_else(raw: bytes) -> None:
    with contextlib.suppress(DemuxError):
        Demultiplexer().feed(raw)
