"""What a person at a terminal sees of commands that draw, ask, or refuse to fill the screen."""

from __future__ import annotations

from .test_atoll_cli import IMAGE, Atoll, OpenTerminal, atoll, name, open_terminal

__all__ = ["atoll", "name", "open_terminal"]


def test_live_table_of_stats_until_ctrl_c(atoll: Atoll, open_terminal: OpenTerminal, name: str) -> None:
    atoll("run", "-d", "--network", "none", "--name", name, IMAGE, "sleep", "1000")
    screen = open_terminal("stats", "--format", "table {{.Name}}\t{{.PIDs}}", name)
    for _ in range(2):  # it is drawn again
        screen.wait_for_text("\x1b[H\x1b[2J")
        screen.wait_for_text(name)
    screen.type("\x03")
    assert screen.wait() == 0


def test_table_of_stats_ends_with_its_containers(atoll: Atoll, open_terminal: OpenTerminal, name: str) -> None:
    atoll("run", "-d", "--network", "none", "--name", name, IMAGE, "sleep", "1000")
    screen = open_terminal("stats", name)
    screen.wait_for_text("PIDS")
    atoll("rm", "-f", name)
    assert screen.wait() == 0


def test_prune_asks_first(atoll: Atoll, open_terminal: OpenTerminal, name: str) -> None:
    atoll("run", "--network", "none", "--name", name, "-l", f"only={name}", IMAGE, "true")
    for answer, left in (("n", name), ("y", "")):
        screen = open_terminal("container", "prune", "--filter", f"label=only={name}")
        screen.wait_for_text("Are you sure you want to continue? [y/N]")
        screen.type(f"{answer}\r")
        assert screen.wait() == 0
        assert atoll.out("ps", "-a", "--filter", f"name={name}", "--format", "{{.Names}}") == left


def test_archive_does_not_fill_the_screen(open_terminal: OpenTerminal) -> None:
    screen = open_terminal("save", IMAGE)
    screen.wait_for_text("nothing for a terminal")
    assert screen.wait() == 1
