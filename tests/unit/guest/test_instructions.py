"""Changes of an image's configuration: Dockerfile instructions without the building."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll_agent.api.errors import AgentError
from atoll_agent.images.instructions import apply_changes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (['CMD ["a", "b c"]'], {"Cmd": ["a", "b c"]}),
        (["cmd  echo $HOME"], {"Cmd": ["/bin/sh", "-c", "echo $HOME"]}),
        (["CMD [not json]"], {"Cmd": ["/bin/sh", "-c", "[not json]"]}),
        (['ENTRYPOINT ["x"]', "CMD y"], {"Entrypoint": ["x"], "Cmd": ["/bin/sh", "-c", "y"]}),
        (["CMD y", 'ENTRYPOINT ["x"]'], {"Entrypoint": ["x"], "Cmd": ["/bin/sh", "-c", "y"]}),
        (['ENTRYPOINT ["x"]'], {"Entrypoint": ["x"], "Cmd": None}),
        (["ENV A=1 B='two words' C=a\\ b", "ENV A=3"], {"Env": ["A=3", "B=two words", "C=a b"]}),
        (["ENV A some words"], {"Env": ["A=some words"]}),
        (["LABEL a=1 b.c=\"x y\"", "LABEL d e"], {"Labels": {"a": "1", "b.c": "x y", "d": "e"}}),
        (["EXPOSE 80 53/udp 8000-8001"],
         {"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}}}),
        (["ONBUILD RUN x", "ONBUILD COPY a b"], {"OnBuild": ["RUN x", "COPY a b"]}),
        (["USER u:g"], {"User": "u:g"}),
        (['VOLUME ["/a", "/b c"]', "VOLUME /d /e"], {"Volumes": {"/a": {}, "/b c": {}, "/d": {}, "/e": {}}}),
        (["WORKDIR /a/b", "WORKDIR ../c"], {"WorkingDir": "/a/c"}),
        (["WORKDIR x"], {"WorkingDir": "/x"}),
        (["STOPSIGNAL SIGTERM"], {"StopSignal": "SIGTERM"}),
        (["HEALTHCHECK NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
        (
            ["HEALTHCHECK --interval=5m --timeout=1m30s --retries=2 --start-period=1s --start-interval=100ms CMD x y"],
            {"Healthcheck": {
                "Test": ["CMD-SHELL", "x y"], "Interval": 300 * 10**9, "Timeout": 90 * 10**9, "Retries": 2,
                "StartPeriod": 10**9, "StartInterval": 10**8,
            }},
        ),
        (['HEALTHCHECK CMD ["x"]'], {"Healthcheck": {"Test": ["CMD", "x"]}}),
        (["# a comment", "", "ENV A=1 \\", "  B=2"], {"Env": ["A=1", "B=2"]}),
        ([], {}),
    ],
)  # fmt: skip
def test_instructions(changes: list[str], expected: dict[str, Any]) -> None:
    assert apply_changes({}, changes) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("RUN x", "RUN is not a valid change command"), ("FROM x", "FROM is not a valid change command"),
        ("nonsense", "nonsense is not a valid change command"), ("ENV", "at least one argument"),
        ("ENV A", "two arguments"), ("ENV A=1 B", "can't find ="), ("ENV A='1", "quotation"), ("EXPOSE http", "Port"),
        ("EXPOSE 70000", "Port"), ("EXPOSE 90-80", "Port"), ("ONBUILD ONBUILD x", "Chaining"),
        ("ONBUILD FROM x", "isn't allowed"), ("USER a b", "exactly one"), ("VOLUME [\"\"]", "empty string"),
        ("HEALTHCHECK x", "Unknown type"), ("HEALTHCHECK CMD", "Missing command"),
        ("HEALTHCHECK --interval=x CMD y", "invalid duration"), ("HEALTHCHECK --what=1 CMD y", "unknown flag"),
        ("HEALTHCHECK NONE x", "takes no arguments"), ("STOPSIGNAL a b", "exactly one"),
    ],
)  # fmt: skip
def test_what_is_no_instruction(change: str, words: str) -> None:
    with pytest.raises(AgentError, match=words) as caught:
        apply_changes({}, [change])
    assert caught.value.status == 400


def test_the_given_configuration_stays() -> None:
    given = {"Env": ["A=1"], "Labels": {"a": "1"}, "Cmd": ["x"]}
    changed = apply_changes(given, ["ENV A=2", "LABEL b=2", 'ENTRYPOINT ["y"]'])
    assert given == {"Env": ["A=1"], "Labels": {"a": "1"}, "Cmd": ["x"]}
    assert changed == {"Env": ["A=2"], "Labels": {"a": "1", "b": "2"}, "Cmd": None, "Entrypoint": ["y"]}


WORDS = st.sampled_from(
    ["CMD", "ENV", "LABEL", "EXPOSE", "VOLUME", "WORKDIR", "HEALTHCHECK", "ONBUILD", "USER", "ENTRYPOINT", "STOPSIGNAL"]
)


@given(st.lists(st.tuples(WORDS, st.text(max_size=40)), max_size=4))
def test_any_text_gives_a_configuration_or_an_error(lines: list[tuple[str, str]]) -> None:
    with contextlib.suppress(AgentError):
        changed = apply_changes({}, [f"{word} {text}" for word, text in lines])
        assert all(isinstance(item, str) for item in changed.get("Env", []))


@given(
    st.dictionaries(st.from_regex(r"[A-Z]{1,5}", fullmatch=True), st.from_regex(r"[a-z0-9./:-]{0,9}", fullmatch=True))
)
def test_variables_come_back(variables: dict[str, str]) -> None:
    if variables:
        line = "ENV " + " ".join(f"{key}={value}" for key, value in variables.items())
        assert apply_changes({}, [line])["Env"] == [f"{key}={value}" for key, value in variables.items()]
