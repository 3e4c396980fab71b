"""`atoll machine ...`, and machines side by side."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker  # type: ignore[import-untyped]
import pytest

from atoll.system.processes import is_alive

from .archives import write_archive
from .conftest import BASE, DEADLINE_S, SMALL, Home, kept

RUN = ("run", "--rm", "--network", "none")


@pytest.fixture(scope="module")
def pair(make_home: Callable[[], Home]) -> Iterator[Home]:
    """A home with two running machines: `default` and `other`."""
    with kept(make_home()) as home:
        for name in ("default", "other"):
            home("machine", "create", name, *SMALL)
        with home.start("machine", "start") as one, home.start("machine", "start", "other") as two:
            assert (one.wait(), two.wait()) == (0, 0), one.stderr + two.stderr
        yield home


# -- without a boot ---------------------------------------------------------------------------


def test_made_inspected_changed_removed(home: Home) -> None:
    assert home.out("machine", "ls", "-q") == ""
    assert home.out("machine", "create", "big", "--cpus", "3", "--memory", "2g", "--disk", "5g") == "big"
    assert home.out("machine", "ls", "-q") == "big"
    found = home.json("machine", "inspect", "big")[0]
    assert (found["Name"], found["Status"], found["DockerHost"], found["QemuPid"]) == ("big", "stopped", "", 0)
    config = found["Config"]
    assert (config["cpus"], config["memory_mib"], config["disk_gib"], config["accelerator"]) == (3, 2048, 5, "auto")
    assert found["DiskBytes"] < 1 << 20
    home("machine", "set", "big", "--cpus", "1", "--accel", "tcg")
    config = home.json("machine", "inspect", "big")[0]["Config"]
    assert (config["cpus"], config["memory_mib"], config["accelerator"]) == (1, 2048, "tcg")
    assert home.out("machine", "rm", "big") == "big"
    assert home.out("machine", "ls", "-q") == ""
    assert not list((home.directory / "machines").iterdir())


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("create taken", "machine 'taken' exists already"),
        ("create Bad_Name", "invalid machine name 'Bad_Name'"),
        ("create m --memory 100m", "memory of machine m is 100; it must be between 256 and"),
        ("create m --cpus 0", "cpus of machine m is 0"),
        ("create m --disk 100m", "disk of machine m is 0"),
        ("start nobody", "there is no machine 'nobody'"),
        ("stop nobody", "there is no machine 'nobody'"),
        ("rm nobody", "there is no machine 'nobody'"),
        ("ssh taken true", "machine taken is not running"),
        ("env taken", "machine taken is not running"),
        ("cp /etc/hostname taken:/tmp", "machine taken is not running"),
        ("cp one two", "one side must be a path here"),
        ("set taken", "nothing to set"),
        ("set taken --disk 9g", "keeps its size"),
        ("set taken --memory 1m", "it must be between"),
    ],
)
def test_refusals(home: Home, command: str, complaint: str) -> None:
    home("machine", "create", "taken", "--memory", "1g")
    before = home.machine("taken").file("machine.json").read_bytes()
    done = home("machine", *command.split(), code=1)
    assert done.stderr.startswith(b"error: ")
    assert complaint in done.stderr.decode()
    assert home.machine("taken").file("machine.json").read_bytes() == before
    assert home.machines() == ["taken"]


def test_only_the_default_machine_makes_itself(home: Home) -> None:
    done = home("--machine", "nobody", "run", BASE, "true", code=125)
    assert "there is no machine 'nobody'" in done.stderr.decode()
    assert home.machines() == []


def test_stopping_what_is_stopped_is_no_error(home: Home) -> None:
    home("machine", "create", "m")
    done = home("machine", "stop", "m")
    assert (done.stdout, done.stderr) == (b"m\n", b"machine m was not running\n")


# -- two machines -----------------------------------------------------------------------------


def test_two_machines_are_two_worlds(pair: Home, name: str, tmp_path: Path) -> None:
    pair("run", "-d", "--name", name, "--network", "none", BASE, "sleep", "1000")
    assert pair.out("ps", "-q", "-f", f"name={name}")
    assert pair.out("--machine", "other", "ps", "-aq", "-f", f"name={name}") == ""
    assert f"no such object: {name}" in pair("--machine", "other", "inspect", name, code=1).stderr.decode()
    archive = write_archive(tmp_path / "i.tar", f"test/{name}:1", {"file": b"content"})
    pair("--machine", "other", "load", "-q", "-i", str(archive))
    assert f"test/{name}" in pair.out("--machine", "other", "images")
    assert f"test/{name}" not in pair.out("images")
    pair("--machine", "other", "run", "-d", "--name", name, "--network", "none", BASE, "sleep", "1000")
    pair("--machine", "other", "rm", "-f", name)
    assert pair.inspect(name)["State"]["Running"]
    pair("rm", "-f", name)


def test_machine_is_chosen_by_the_environment(pair: Home) -> None:
    assert pair.out(*RUN, "--uts", "host", BASE, "hostname") == "atoll-default"
    other = pair(*RUN, "--uts", "host", BASE, "hostname", ATOLL_MACHINE="other")
    assert other.stdout == b"atoll-other\n"


def test_list_and_inspect_running_machines(pair: Home) -> None:
    rows = [line.split() for line in pair.out("machine", "ls").splitlines()]
    assert rows[0][:2] == ["NAME", "STATE"]
    assert [row[:2] for row in rows[1:]] == [["default", "running"], ["other", "running"]]
    both = pair.json("machine", "inspect", "default", "other")
    for found in both:
        assert (found["Status"], found["Accelerator"], found["Error"]) == ("running", "tcg", "")
        assert found["DockerHost"].startswith(("unix://", "tcp://", "npipe://"))
    assert len({found[key] for found in both for key in ("KeeperPid", "QemuPid")}) == 4
    assert sorted(pair.processes()) == sorted(found[key] for found in both for key in ("KeeperPid", "QemuPid"))


@pytest.mark.skipif(os.name == "nt", reason="rights are kept otherwise there")
def test_only_the_owner_gets_at_a_machine(pair: Home) -> None:
    directory = pair.machine().directory
    for name in ("docker.sock", "control.sock", "id_ed25519", "host_key", "initrd", "keeper.json"):
        path = pair.machine().sockets / name if name.endswith(".sock") else directory / name
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, name


def test_starting_what_runs_is_no_error(pair: Home) -> None:
    before = pair.state().qemu_pid
    done = pair("machine", "start")
    assert (done.stdout, done.stderr) == (b"default\n", b"")
    assert pair.state().qemu_pid == before


def test_removing_what_runs_is_refused(pair: Home) -> None:
    done = pair("machine", "rm", "other", code=1)
    assert "machine other is running" in done.stderr.decode()
    assert pair.out("--machine", "other", *RUN, BASE, "echo", "still here") == "still here"


def test_ssh_passes_streams_and_exit_codes(pair: Home) -> None:
    done = pair("machine", "ssh", "default", "echo out; echo err >&2; exit 7", code=7)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    assert pair.out("machine", "ssh", "other", "hostname") == "atoll-other"
    data = os.urandom(300_000)
    assert pair("machine", "ssh", "default", "cat", stdin=data).stdout == data
    assert pair.out("machine", "ssh", "default", stdin=b"echo from a script\nexit 3\n", code=3) == "from a script"
    pair("machine", "ssh", "default", "kill -9 $$", code=None)


def test_cp_carries_files_both_ways(pair: Home, name: str, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "sent").write_bytes(data)
    (tmp_path / "sent").chmod(0o750)
    pair("machine", "cp", str(tmp_path / "sent"), f"default:/tmp/{name}")
    assert pair.out("machine", "ssh", "default", f"stat -c '%a %s' /tmp/{name}") == "750 3000000"
    pair("machine", "cp", f"default:/tmp/{name}", str(tmp_path / "received"))
    assert (tmp_path / "received").read_bytes() == data


def test_cp_of_what_is_not_there_changes_nothing(pair: Home, name: str, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    for target in ("kept", "new"):
        done = pair("machine", "cp", f"default:/tmp/{name}", str(tmp_path / target), code=1)
        assert f"/tmp/{name}" in done.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "kept"


def test_cp_carries_trees(pair: Home, name: str, tmp_path: Path) -> None:
    (tmp_path / "tree" / "below").mkdir(parents=True)
    (tmp_path / "tree" / "below" / "file").write_text("in a tree")
    pair("machine", "cp", str(tmp_path / "tree"), f"other:/tmp/{name}")
    (tmp_path / "back").mkdir()
    pair("machine", "cp", f"other:/tmp/{name}", str(tmp_path / "back"))
    assert (tmp_path / "back" / name / "below" / "file").read_text() == "in a tree"


def test_machine_logs_show_console_and_keeper(pair: Home) -> None:
    pair("machine", "ssh", "default", "echo to the console > /dev/console")
    assert "to the console" in pair.out("machine", "logs")
    pair("machine", "logs", "--keeper")


def test_engine_answers_on_the_machines_socket(pair: Home) -> None:
    """What no command asks for."""
    with pair.engine("other") as engine:
        assert engine.system.ping()["api-version"]
        assert engine.system.info()["Name"] == "atoll-other"
        assert engine.system.version()["Os"] == "linux"
        assert all(0 < size < 256 << 20 for size in engine.system.memory().values())


# -- other clients ----------------------------------------------------------------------------


def docker_host(home: Home) -> str:
    """DOCKER_HOST as a shell would take it from `atoll machine env`."""
    line = home.out("machine", "env", "--shell", "sh")
    found = re.fullmatch(r"export DOCKER_HOST='(.+)'", line)
    assert found, line
    return found[1]


def test_env_in_every_shells_words(pair: Home) -> None:
    address = docker_host(pair)
    assert pair.out("machine", "env", "--shell", "fish") == f"set -gx DOCKER_HOST '{address}'"
    assert pair.out("machine", "env", "--shell", "powershell") == f"$Env:DOCKER_HOST = '{address}'"
    assert pair.out("machine", "env", "--shell", "cmd") == f"set DOCKER_HOST={address}"


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker CLI")
def test_docker_cli(pair: Home, name: str, tmp_path: Path) -> None:
    env = {**pair.env, "DOCKER_HOST": docker_host(pair), "DOCKER_CONFIG": str(tmp_path)}

    def run(*args: str, stdin: bytes = b"") -> str:
        done = subprocess.run(["docker", *args], input=stdin, capture_output=True, timeout=DEADLINE_S, env=env)
        assert done.returncode == 0, done
        return done.stdout.decode().strip()

    assert run("run", "--rm", "-i", BASE, "cat", stdin=b"through docker") == "through docker"
    run("run", "-d", "--name", name, BASE, "sleep", "1000")
    assert run("ps", "--format", "{{.Names}} {{.State}}", "-f", f"name={name}") == f"{name} running"
    assert run("exec", name, "hostname") == pair.inside(name, "hostname")
    run("rm", "-f", name)


@contextmanager
def docker_py(home: Home) -> Iterator[docker.DockerClient]:
    """docker-py, connected to a machine."""
    client = docker.DockerClient(base_url=docker_host(home), timeout=int(DEADLINE_S))
    try:
        yield client
    finally:
        client.close()


def test_docker_py(pair: Home, name: str) -> None:
    with docker_py(pair) as client:
        assert client.ping()
        assert client.containers.run(BASE, ["echo", "from docker-py"], remove=True) == b"from docker-py\n"
        container = client.containers.run(BASE, ["sleep", "1000"], name=name, detach=True)
        # Not its output: docker-py loses what arrives together with the answer's head (its issue 3332).
        assert container.exec_run(["grep", "-q", "sleep", "/proc/1/comm"]).exit_code == 0
        assert container.exec_run(["grep", "-q", "other", "/proc/1/comm"]).exit_code == 1
        container.kill()
        assert container.wait()["StatusCode"] == 137
        container.remove()
        assert client.info()["Name"] == "atoll-default"


# -- over a stop ------------------------------------------------------------------------------


def test_stop_and_start_keep_everything(fresh: Home, name: str, tmp_path: Path) -> None:
    """And the settings changed meanwhile take effect."""
    image = f"test/{name}:1"
    fresh("load", "-q", "-i", str(write_archive(tmp_path / "i.tar", image, {"file": b"content"})))
    fresh("create", "--name", f"{name}-made", image)
    script = "echo line >> /data/file; echo line >> /file; cat /data/file /file | wc -l"
    fresh("run", "--name", name, "--network", "none", "-v", f"{name}:/data", BASE, "sh", "-c", script)
    before = {container: fresh.inspect(container) for container in (name, f"{name}-made")}
    images, key = fresh.out("images", "--no-trunc"), fresh.machine().file("host_key.pub").read_bytes()
    old = fresh.state()
    port = free_port()
    done = fresh("machine", "set", "--memory", "384m", "--cpus", "2", "--tcp", f"127.0.0.1:{port}")
    assert "restart it for the change to take effect" in done.stderr.decode()
    assert fresh.out("machine", "stop") == "default"
    assert fresh.machine().status == "stopped"
    assert not fresh.processes()
    assert not is_alive(old.qemu_pid, old.qemu_mark)
    assert fresh.out("machine", "start") == "default"
    assert fresh.out("images", "--no-trunc") == images
    assert {container: fresh.inspect(container) for container in before} == before
    assert_tls_answers(port, fresh.machine().file("tls"))
    assert fresh.out("logs", name) == "2"
    assert fresh.out("start", "-a", name) == "4"
    assert fresh.out("logs", name) == "2\n4"
    assert fresh.out(*RUN, "-v", f"{name}:/data", BASE, "cat", "/data/file") == "line\nline"
    meminfo = fresh.out(*RUN, BASE, "cat", "/proc/meminfo")
    total_kib = int(meminfo.split()[1])
    assert (384 << 10) * 0.8 < total_kib < 384 << 10
    assert fresh.out(*RUN, BASE, "nproc") == "2"
    assert fresh.machine().file("host_key.pub").read_bytes() == key
    assert fresh.out("machine", "ssh", "default", "hostname") == "atoll-default"
    fresh("rm", name, f"{name}-made")


def test_restart_and_remove_by_force(home: Home) -> None:
    home("machine", "create", "m", *SMALL)
    assert home.out("machine", "restart", "m") == "m"
    first = home.state("m")
    home("--machine", "m", "run", "-d", "--network", "none", "--stop-signal", "KILL", BASE, "sleep", "1000")
    assert home.out("machine", "rm", "-f", "m") == "m"
    assert not is_alive(first.qemu_pid, first.qemu_mark)
    assert not is_alive(first.pid, first.mark)
    assert not home.processes()
    assert not list((home.directory / "machines").iterdir())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def assert_tls_answers(port: int, certificates: Path) -> None:
    """The API answers on its TCP port to the owner of the client's certificate."""
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
    connection.request("GET", "/_ping")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"OK")
    connection.close()
