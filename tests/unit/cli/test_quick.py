"""The two parsers of `run` and `exec` understand every line alike, or the quick one leaves it to click."""

from __future__ import annotations

from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.cli.execs import exec_
from atoll.cli.options import EXEC_OPTIONS, RUN_OPTIONS
from atoll.cli.quick import parse, run_quickly
from atoll.cli.run import run

COMMANDS = {
    "run": (run, RUN_OPTIONS, "image", 1),
    "exec": (exec_, EXEC_OPTIONS, "container", 2),
}
NAMES = sorted({name for option in [*RUN_OPTIONS, *EXEC_OPTIONS] for name in option.names})
WORDS = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(
        ["--", "-", "-it", "-itd", "-dit", "-eA=1", "-e=A", "-ie", "-m=1", "-c3", "--no-sig-proxy", "--help", "-x", ""]
    ),
    st.builds(
        lambda name, value: f"{name}={value}", st.sampled_from(NAMES), st.sampled_from(["true", "false", "1", "x", ""])
    ),
    st.sampled_from(["atoll/base", "sh", "-c", "A=1", "7", "true"]),
)


def by_click(command: click.Command, words: list[str]) -> dict[str, Any] | None:
    try:
        with command.make_context("x", list(words)) as context:
            return dict(context.params)
    except (click.ClickException, click.exceptions.Exit):
        return None


@pytest.mark.parametrize("name", COMMANDS)
@given(words=st.lists(WORDS, max_size=8))
@settings(max_examples=600, deadline=None)
def test_both_parsers_agree(name: str, words: list[str]) -> None:
    command, options, subject, least = COMMANDS[name]
    quick = parse(options, words, subject, least)
    if quick is not None:
        assert quick == by_click(command, words)


@pytest.mark.parametrize(
    "line",
    [
        "atoll/base",
        "--rm --network none atoll/base true",
        "-it --rm -e A=1 -eB=2 -m=64m --cpus=1.5 -v /a:/b -w /x atoll/base sh -c 'exit 1'",
        "-d --name=x --sig-proxy=false --rm=true --init=false -- atoll/base --help",
    ],
)
def test_usual_lines_do_not_need_click(line: str) -> None:
    command, options, subject, least = COMMANDS["run"]
    found = parse(options, line.split(), subject, least)
    assert found is not None
    assert found == by_click(command, line.split())


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["run"],
        ["ps"],
        ["run", "--help"],
        ["run", "--rm"],
        ["exec", "x"],
        ["--machine", "m", "run", "x"],
        ["run", "--bogus", "x"],
        ["run", "-c", "many", "x"],
    ],
)
def test_unusual_lines_are_left_to_click(args: list[str]) -> None:
    assert run_quickly(args) is None


def test_completion_is_left_to_click(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_ATOLL_COMPLETE", "bash_complete")
    assert run_quickly(["run", "x"]) is None
