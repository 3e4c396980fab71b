"""Docker's own command line against the engine: what its user sees must be what Docker would show."""

from __future__ import annotations

import json
import subprocess

import pytest

from .conftest import DEADLINE_S, DockerCli

RUN = ("run", "--rm", "--network", "none")
IMAGE = "atoll/base"


def test_version_and_info(docker: DockerCli) -> None:
    server = json.loads(docker.out("version", "--format", "{{json .Server}}"))
    assert server["Os"] == "linux"
    assert docker.out("info", "--format", "{{.OSType}}") == "linux"


def test_run_prints_both_streams_and_passes_the_exit_code(docker: DockerCli) -> None:
    result = docker(*RUN, IMAGE, "sh", "-c", "echo out; echo err >&2; exit 7", code=7)
    assert (result.stdout, result.stderr) == (b"out\n", b"err\n")


@pytest.mark.parametrize(("command", "code"), [("nosuch", 127), ("/no/such", 127), ("/etc/passwd", 126), ("/etc", 126)])
def test_command_that_cannot_run(docker: DockerCli, command: str, code: int) -> None:
    assert docker(*RUN, IMAGE, command, code=code).stderr


def test_image_that_is_not_there(docker: DockerCli, name: str) -> None:
    result = docker("create", "--name", name, "--pull", "never", "no/such:image", code=None)
    assert result.returncode in (1, 125)
    assert b"no such image" in result.stderr.lower()


def test_stdin_is_half_closed(docker: DockerCli) -> None:
    data = bytes(range(256)) * 4096
    assert docker(*RUN, "-i", IMAGE, "cat", stdin=data).stdout == data
    assert docker.out(*RUN, "-i", IMAGE, "sh", "-c", "cat >/dev/null; echo after", stdin=b"x") == "after"


def test_much_output_arrives_whole(docker: DockerCli) -> None:
    result = docker(*RUN, IMAGE, "sh", "-c", "seq 1 100000; seq 1 1000 >&2")
    assert result.stdout.split() == [b"%d" % n for n in range(1, 100_001)]
    assert len(result.stderr.split()) == 1000


def test_environment_directory_user_and_host_name(docker: DockerCli) -> None:
    script = "echo $A $PWD $(id -u) $(hostname)"
    assert (
        docker.out(*RUN, "-e", "A=1", "-w", "/tmp", "-u", "12", "-h", "box", IMAGE, "sh", "-c", script)
        == "1 /tmp 12 box"
    )


def test_read_only_root_and_tmpfs(docker: DockerCli) -> None:
    docker(*RUN, "--read-only", IMAGE, "touch", "/x", code=1)
    docker(*RUN, "--read-only", "--tmpfs", "/t", IMAGE, "touch", "/t/x")


def test_life_of_a_container(docker: DockerCli, name: str) -> None:
    identity = docker.out("run", "-d", "--network", "none", "--name", name, "--label", "test=1", IMAGE, "sleep", "1000")
    assert docker.out("ps", "-q", "--no-trunc", "--filter", f"name={name}") == identity
    assert docker.out("ps", "--filter", "label=test=1", "--format", "{{.Names}} {{.State}}") == f"{name} running"
    assert docker.out("inspect", "-f", "{{.State.Running}} {{.Config.Image}}", name) == f"true {IMAGE}"
    docker("rm", name, code=1)
    docker("stop", "-t", "0", name)
    assert docker.out("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name) == "exited 137"
    assert docker.out("ps", "-q", "--filter", f"name={name}") == ""
    docker("start", name)
    docker("kill", "-s", "KILL", name)
    assert docker.out("wait", name) == "137"
    assert docker.out("rm", name) == name
    docker("inspect", name, code=1)


def test_name_that_is_taken(docker: DockerCli, name: str) -> None:
    docker("create", "--name", name, IMAGE, "true")
    result = docker("create", "--name", name, IMAGE, "true", code=None)
    assert result.returncode in (1, 125)
    assert b"already in use" in result.stderr


def test_create_then_start_attached(docker: DockerCli, name: str) -> None:
    docker("create", "--network", "none", "-i", "--name", name, IMAGE, "sh", "-c", "cat; exit 5")
    result = docker("start", "-ai", name, stdin=b"hello", code=5)
    assert result.stdout == b"hello"


def test_logs(docker: DockerCli, name: str) -> None:
    docker("run", "--network", "none", "--name", name, IMAGE, "sh", "-c", "echo 1; echo 2; echo 3 >&2")
    assert docker.out("logs", name) == "1\n2"
    assert docker("logs", name).stderr == b"3\n"
    assert docker.out("logs", "-t", name).count("Z ") == 2


def test_end_of_the_logs(docker: DockerCli, name: str) -> None:
    docker("run", "--network", "none", "--name", name, IMAGE, "seq", "1", "10")
    assert docker.out("logs", "--tail", "2", name) == "9\n10"


def test_logs_follow_until_the_end(docker: DockerCli, name: str) -> None:
    docker("run", "-d", "--network", "none", "--name", name, IMAGE, "sh", "-c", "echo 1; sleep 1; echo 2")
    assert docker.out("logs", "-f", name) == "1\n2"


def test_exec(docker: DockerCli, name: str) -> None:
    docker("run", "-d", "--network", "none", "-e", "A=1", "--name", name, IMAGE, "sleep", "1000")
    assert docker.out("exec", "-e", "B=2", "-w", "/tmp", name, "sh", "-c", "echo $A $B $PWD") == "1 2 /tmp"
    assert docker("exec", "-i", name, "cat", stdin=b"piped").stdout == b"piped"
    docker("exec", name, "sh", "-c", "exit 9", code=9)
    assert docker("exec", name, "nosuch", code=None).returncode in (126, 127)
    assert docker("exec", name, "sh", "-c", "echo err >&2").stderr == b"err\n"


def test_signals_reach_the_container(docker: DockerCli, name: str) -> None:
    script = "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    command = docker.command("run", "--network", "none", "--name", name, IMAGE, "sh", "-c", script)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.stdout.read() == b"got\n"
        assert process.wait(DEADLINE_S) == 9


def test_images_tag_and_remove(docker: DockerCli) -> None:
    docker("tag", IMAGE, "contract/other:v1")
    assert docker.out("images", "--format", "{{.Repository}}:{{.Tag}}", "contract/other") == "contract/other:v1"
    assert "contract/other:v1" in docker.out("rmi", "contract/other:v1")
    docker("image", "inspect", "contract/other:v1", code=1)
    docker("image", "inspect", IMAGE)


def test_archive_that_is_not_an_image(docker: DockerCli) -> None:
    before = docker.out("images", "-q")
    docker("load", stdin=b"this is not a tar archive" * 100, code=1)
    assert docker.out("images", "-q") == before


def test_events_tell_a_containers_life(docker: DockerCli, name: str) -> None:
    docker("run", "--network", "none", "--name", name, IMAGE, "true")
    docker("rm", name)
    now = docker.out("info", "--format", "{{.SystemTime}}")
    told = docker.out(
        "events", "--since", "1m", "--until", now, "--filter", f"container={name}", "--format", "{{.Action}}"
    )
    # docker CLI 20.10 prints what it is told in the order of arrival; nothing may be missing.
    wanted = ["create", "start", "die", "destroy"]
    assert [action for action in told.split() if action in wanted] == wanted


def test_system_prune(docker: DockerCli) -> None:
    # What it would remove is other tests': with a label that nothing has it goes all the way and finds nothing.
    assert "Total reclaimed space: 0B" in docker.out("system", "prune", "-f", "--filter", "label=nobody-has-this")
