"""What is followed: events and logs, over starts of containers, agents and machines."""

from __future__ import annotations

import json
from typing import Any

from .conftest import BASE, Command, Home, wait_for


def actions(command: Command, container: str) -> list[str]:
    """What `atoll events --format json` told of a container so far."""
    events: list[dict[str, Any]] = [
        json.loads(line) for line in command.stdout.splitlines(keepends=True) if line.endswith("\n")
    ]
    return [e["Action"] for e in events if e["Actor"]["Attributes"].get("name") == container]


def test_events_tell_a_containers_life(machine: Home, name: str) -> None:
    with machine.start("events", "--format", "json", "-f", f"container={name}", "--since", "1h") as events:
        machine("run", "-d", "--name", name, "--network", "none", BASE, "sleep", "1000")
        wait_for(lambda: actions(events, name) == ["create", "start"], "create and start")
        machine("exec", name, "true")
        wait_for(lambda: "exec_die" in str(actions(events, name)), "the exec")
        machine("stop", "-t", "0", name)
        machine("rm", name)
        wait_for(lambda: actions(events, name)[-1:] == ["destroy"], "the end")
        seen = [action for action in actions(events, name) if not action.startswith("exec")]
        assert seen == ["create", "start", "kill", "kill", "die", "stop", "destroy"] or seen == [
            "create", "start", "kill", "die", "stop", "destroy",
        ], seen  # fmt: skip


def test_events_end_at_until(machine: Home, name: str) -> None:
    machine("create", "--name", name, BASE, "true")
    machine("rm", name)
    text = machine.out("events", "--since", "1h", "--until", "0s", "-f", f"container={name}", "--format", "{{.Action}}")
    assert text.splitlines() == ["create", "destroy"]


def test_logs_follow_to_the_end(machine: Home, name: str) -> None:
    script = "echo one; echo two >&2; until [ -e /tmp/go ]; do usleep 10000; done; echo three; printf four"
    machine("run", "-d", "--name", name, "--network", "none", BASE, "sh", "-c", script)
    with machine.start("logs", "-f", name) as logs:
        wait_for(lambda: (logs.stdout, logs.stderr) == ("one\n", "two\n"), "what was there")
        machine("exec", name, "touch", "/tmp/go", code=None)  # the end of the container may be the end of it
        assert logs.wait() == 0
        assert (logs.stdout, logs.stderr) == ("one\nthree\nfour", "two\n")
    machine("rm", name)


def test_many_lines_come_whole_and_in_order(machine: Home, name: str) -> None:
    count = 5_000
    machine("run", "-d", "--name", name, "--network", "none", BASE, "seq", str(count))
    with machine.start("logs", "-f", name) as logs:
        assert logs.wait() == 0
        assert logs.stdout.split() == [str(number) for number in range(1, count + 1)]
    assert machine.out("logs", "--tail", "2", name) == f"{count - 1}\n{count}"
    machine("rm", name)


def test_two_follow_one_container(machine: Home, name: str) -> None:
    script = "until [ -e /tmp/go ]; do usleep 10000; done; echo late"
    machine("run", "-d", "--name", name, "--network", "none", BASE, "sh", "-c", script)
    with machine.start("logs", "-f", name) as one, machine.start("logs", "-f", "-t", name) as two:
        machine("exec", name, "touch", "/tmp/go", code=None)  # the end of the container may be the end of it
        assert (one.wait(), two.wait()) == (0, 0)
        assert one.stdout == "late\n"
        assert two.stdout.endswith("Z late\n")
    machine("rm", name)


def test_log_goes_on_over_a_containers_restart(machine: Home, name: str) -> None:
    machine("run", "-d", "--name", name, "--network", "none", BASE, "sh", "-c", "echo begun; exec sleep 1000")
    wait_for(lambda: machine.out("logs", name) == "begun", "the first line")
    machine("restart", "-t", "0", name)
    wait_for(lambda: machine.out("logs", name) == "begun\nbegun", "the second")
    machine("rm", "-f", name)


def test_log_goes_on_over_a_machines_restart(fresh: Home, name: str) -> None:
    """Who follows meanwhile is told that the engine is gone."""
    quick = ("--network", "none", "--stop-signal", "KILL")
    fresh("run", "-d", "--name", name, *quick, BASE, "sh", "-c", "echo begun; exec sleep 1000")
    with fresh.start("logs", "-f", name) as logs, fresh.start("events") as events:
        wait_for(lambda: logs.stdout == "begun\n", "the first line")
        fresh("machine", "restart")
        assert logs.wait() in (0, 1)
        assert events.wait() in (0, 1)
        assert logs.stdout == "begun\n"
        assert "Traceback" not in logs.stderr + events.stderr
    assert fresh.out("logs", name) == "begun"
    fresh("start", name)
    with fresh.start("logs", "-f", name) as logs:
        wait_for(lambda: logs.stdout == "begun\nbegun\n", "the second line")
    fresh("rm", "-f", name)


def test_log_goes_on_while_the_agent_is_away(fresh: Home, name: str) -> None:
    script = "i=0; while :; do i=$((i+1)); echo $i; usleep 20000; done"
    fresh("run", "-d", "--name", name, "--network", "none", BASE, "sh", "-c", script)
    with fresh.start("logs", "-f", name) as logs:
        wait_for(lambda: logs.stdout.count("\n") > 5, "some lines")
        fresh.kill_agent()
        assert logs.wait() in (0, 1)
        seen = [int(line) for line in logs.stdout.splitlines()]
    with fresh.start("logs", "-f", name) as again:
        wait_for(lambda: again.stdout.count("\n") > len(seen) + 5, "more lines")
        fresh("kill", name)
        assert again.wait() == 0
        numbers = [int(line) for line in again.stdout.splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert seen == numbers[: len(seen)]
    fresh("rm", name)
