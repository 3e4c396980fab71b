"""Machines and engines that die, at the worst moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from atoll.system.processes import end, is_alive

from .conftest import BASE, Home, wait_for

RUN = ("run", "--rm", "--network", "none")


@pytest.fixture
def survivor(fresh: Home, name: str) -> Iterator[str]:
    """A container that has ended, with an exit code, output and a volume that must outlive what comes."""
    script = "echo to stdout; echo to stderr >&2; echo kept > /data/file; exit 7"
    fresh("run", "--name", name, "--network", "none", "-v", f"{name}:/data", BASE, "sh", "-c", script, code=7)
    sync(fresh)
    yield name
    check_survivor(fresh, name)
    fresh("rm", name)


def sync(home: Home) -> None:
    """Have the machine write back all it knows: what a container wrote last is not on disk at once."""
    home("machine", "ssh", "default", "sync")


def check_survivor(home: Home, name: str) -> None:
    """All of the ended container is as it was."""
    state = home.inspect(name)["State"]
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 7, False)
    said = home("logs", name)
    assert (said.stdout, said.stderr) == (b"to stdout\n", b"to stderr\n")
    assert home.out(*RUN, "-v", f"{name}:/data", BASE, "cat", "/data/file") == "kept"
    assert home.out("images", "-q", BASE)


def status(home: Home, container: str) -> str:
    """The status as `ps -a` shows it."""
    return home.out("ps", "-a", "--format", "{{.Status}}", "-f", f"name={container}")


def test_qemu_dies_in_the_middle_of_run(fresh: Home, survivor: str, name: str) -> None:
    fresh("machine", "start")
    state = fresh.state()
    victim = f"{name}-victim"
    with fresh.start("run", "--name", victim, "--network", "none", BASE, "sh", "-c", "echo begun; sleep 1000") as run:
        wait_for(lambda: run.stdout == "begun\n", "the container to run")
        sync(fresh)
        end(state.qemu_pid, force=True)
        assert run.wait() == 125
        assert run.stderr.startswith("error: lost the engine while container "), run.stderr
        assert "hint: the machine may have stopped" in run.stderr
    again = fresh(*RUN, BASE, "echo", "back")
    assert again.stdout == b"back\n"
    assert "starting machine default" in again.stderr.decode()
    assert status(fresh, victim).startswith("Exited (255)")
    assert fresh.out("wait", victim) == "255"
    assert fresh.out("logs", victim) == "begun"
    fresh("start", victim)
    assert fresh.inspect(victim)["State"]["Running"]
    fresh("rm", "-f", victim)


def test_agent_dies(fresh: Home, survivor: str, name: str) -> None:
    """Containers are the supervisor's: they run on, their output is kept, and their ends are known afterwards."""
    script = "i=0; until [ -e /tmp/enough ]; do i=$((i+1)); echo $i; usleep 100000; done; exit 5"
    fresh("run", "-d", "--name", name + "-on", "--network", "none", BASE, "sh", "-c", script)
    short = "until [ -e /data/go ]; do usleep 1000; done; exit 6"
    fresh(
        "run", "-d", "--name", name + "-short", "--network", "none", "-v", f"{name}-go:/data", BASE, "sh", "-c", short
    )
    before = fresh.inspect(name + "-on")["State"]
    go = f"touch /var/lib/atoll/volumes/{name}-go/_data/go"
    fresh.kill_agent(go)
    after = fresh.inspect(name + "-on")["State"]
    assert (after["Status"], after["Pid"], after["StartedAt"]) == ("running", before["Pid"], before["StartedAt"])
    lines = len(fresh.out("logs", name + "-on").splitlines())
    wait_for(lambda: len(fresh.out("logs", name + "-on").splitlines()) > lines, "more output")
    numbers = [int(line) for line in fresh.out("logs", name + "-on").splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert fresh.out("wait", name + "-short") == "6"
    with fresh.start("wait", name + "-on") as waiting:
        fresh("exec", name + "-on", "touch", "/tmp/enough")
        assert waiting.wait() == 0
        assert waiting.stdout == "5\n"
    fresh("rm", name + "-on", name + "-short")


def test_agent_dies_under_an_attached_run(fresh: Home, name: str) -> None:
    with fresh.start("run", "--name", name, "--network", "none", BASE, "sh", "-c", "echo begun; sleep 1000") as run:
        wait_for(lambda: run.stdout == "begun\n", "the container to run")
        fresh.kill_agent()
        assert run.wait() == 125
        assert run.stderr.startswith("error: lost the engine while container "), run.stderr
    assert fresh.inspect(name)["State"]["Running"]
    fresh("rm", "-f", name)


def test_container_ignores_sigterm(fresh: Home, name: str) -> None:
    fresh("run", "-d", "--name", name, "--network", "none", BASE, "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    fresh("stop", "-t", "1", name)
    state = fresh.inspect(name)["State"]
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 137, False)
    fresh("rm", name)


def test_keeper_dies(fresh: Home, survivor: str) -> None:
    """Its QEMU is an orphan then, and holds the disk: the next start ends it first."""
    fresh("machine", "start")
    state = fresh.state()
    end(state.pid, force=True)
    wait_for(lambda: not is_alive(state.pid, state.mark), "the keeper to be gone")
    assert fresh.out(*RUN, BASE, "echo", "back") == "back"
    assert not is_alive(state.qemu_pid, state.qemu_mark)
    now = fresh.state()
    assert sorted(fresh.processes()) == sorted([now.pid, now.qemu_pid])


def test_stopping_a_machine_stops_what_runs_in_it(fresh: Home, survivor: str, name: str) -> None:
    """One container ends at SIGTERM, one by its own exit code, one not at all."""
    scripts = {
        "term": ("sleep", "1000"),
        "trap": ("sh", "-c", "trap 'echo bye; exit 3' TERM; echo ready; while :; do usleep 50000; done"),
    }
    for key, command in scripts.items():
        fresh("run", "-d", "--name", f"{name}-{key}", "--network", "none", BASE, *command)
    wait_for(lambda: fresh.out("logs", f"{name}-trap") == "ready", "the trap to be set")
    with fresh.start(
        "run", "--name", f"{name}-fore", "--network", "none", BASE, "sh", "-c", "echo on; sleep 1000"
    ) as run:
        wait_for(lambda: run.stdout == "on\n", "the container to run")
        fresh("machine", "stop", "-t", "8")
        assert run.wait() in (125, 137, 143)
    assert not fresh.processes()
    fresh("machine", "start")
    assert fresh.inspect(f"{name}-term")["State"]["ExitCode"] in (137, 143)
    assert fresh.inspect(f"{name}-trap")["State"]["ExitCode"] == 3
    assert fresh.out("logs", f"{name}-trap") == "ready\nbye"
    assert fresh.inspect(f"{name}-fore")["State"]["ExitCode"] in (137, 143)
    assert all(not fresh.inspect(f"{name}-{key}")["State"]["Running"] for key in (*scripts, "fore"))
    fresh("rm", f"{name}-term", f"{name}-trap", f"{name}-fore")


def test_two_commands_start_the_same_machine(fresh: Home) -> None:
    fresh("machine", "stop")
    with fresh.start(*RUN, BASE, "echo", "one") as one, fresh.start(*RUN, BASE, "echo", "two") as two:
        assert (one.wait(), two.wait()) == (0, 0), one.stderr + two.stderr
        assert (one.stdout, two.stdout) == ("one\n", "two\n")
    state = fresh.state()
    assert sorted(fresh.processes()) == sorted([state.pid, state.qemu_pid])


def test_machine_stops_while_it_starts(fresh: Home) -> None:
    """`stop` during a boot gives the boot up; whoever waits for it is told."""
    fresh("machine", "stop")
    with fresh.start("machine", "start") as starting:
        wait_for(lambda: fresh.machine().status == "starting", "the machine to be starting")
        fresh("machine", "stop")
        assert starting.wait() == 1
        assert "stopped while it was starting" in starting.stderr
    assert not fresh.processes()
    assert fresh.machine().status == "stopped"
    assert fresh.out(*RUN, BASE, "echo", "back") == "back"


def test_keepers_notes_are_lost(fresh: Home) -> None:
    """Or written by another version: the machine that runs must not be left alone with the disk."""
    fresh("machine", "start")
    state = fresh.state()
    fresh.machine().clear_state()
    assert fresh.out(*RUN, BASE, "echo", "back") == "back"
    assert not is_alive(state.qemu_pid, state.qemu_mark)
    assert len(fresh.processes()) == 2


def test_machine_powers_off_by_itself(fresh: Home, survivor: str) -> None:
    """The next command starts it, even while the keeper is still clearing up."""
    fresh("machine", "start")
    state = fresh.state()
    fresh("machine", "ssh", "default", "echo o > /proc/sysrq-trigger", code=None)
    wait_for(lambda: not is_alive(state.qemu_pid, state.qemu_mark), "QEMU to end")
    assert fresh.out(*RUN, BASE, "echo", "back") == "back"
