"""What the engine tells of a path, and questions with lists."""

from __future__ import annotations

import base64
import json

import pytest

from atoll.client.archives import HEADER, parse_stat
from atoll.client.transport import format_query
from atoll.errors import ProtocolError


def encode(**fields: object) -> dict[str, str]:
    value = {"name": "a", "size": 3, "mode": 0o644, "linkTarget": "", **fields}
    return {HEADER: base64.b64encode(json.dumps(value).encode()).decode()}


def test_kind_of_a_path() -> None:
    file, directory = parse_stat(encode()), parse_stat(encode(mode=1 << 31 | 0o755))
    link, device = parse_stat(encode(mode=1 << 27, linkTarget="/b")), parse_stat(encode(mode=1 << 26))
    assert (file.size_bytes, file.is_directory, file.is_link, file.is_special) == (3, False, False, False)
    assert directory.is_directory
    assert (link.is_link, link.link_target) == (True, "/b")
    assert device.is_special


@pytest.mark.parametrize("headers", [{}, {HEADER: "%%"}, {HEADER: "e30="}, {HEADER: "W10="}, encode(size="big")])
def test_path_of_which_the_engine_tells_nothing(headers: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        parse_stat(headers)


def test_list_in_a_question_repeats_its_name() -> None:
    assert format_query({"names": ["a/b", "c"], "none": [], "x": None, "y": True}) == "?names=a%2Fb&names=c&y=1"
