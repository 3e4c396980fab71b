"""The command line as a whole: what is loaded, what is said, what it exits with."""

from __future__ import annotations

import pytest

from atoll.cli import app, groups
from atoll.cli.exits import start_failure_code
from atoll.cli.options import RUN_OPTIONS
from atoll.cli.target import parse_host
from atoll.errors import ConfigError

RUN_FLAGS = """
--add-host --annotation -a --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop --cgroup-parent
--cgroupns --cidfile --cpu-period --cpu-quota --cpu-rt-period --cpu-rt-runtime -c --cpu-shares --cpus --cpuset-cpus
--cpuset-mems -d --detach --detach-keys --device --device-cgroup-rule --device-read-bps --device-read-iops
--device-write-bps --device-write-iops --disable-content-trust --dns --dns-option --dns-search --domainname
--entrypoint -e --env --env-file --expose --gpus --group-add --health-cmd --health-interval --health-retries
--health-start-interval --health-start-period --health-timeout -h --hostname --init -i --interactive --ip --ip6 --ipc
--isolation --kernel-memory -l --label --label-file --link --link-local-ip --log-driver --log-opt --mac-address -m
--memory --memory-reservation --memory-swap --memory-swappiness --mount --name --network --net --network-alias
--no-healthcheck --oom-kill-disable --oom-score-adj --pid --pids-limit --platform --privileged -p --publish -P
--publish-all --pull -q --quiet --read-only --restart --rm --runtime --security-opt --shm-size --sig-proxy
--stop-signal --stop-timeout --storage-opt --sysctl --tmpfs -t --tty --ulimit --use-api-socket -u --user --userns
--uts -v --volume --volume-driver --volumes-from -w --workdir
"""


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = app.run(list(args))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name, entry in app.COMMANDS.items():
        assert entry.hidden or name in out


GROUPS = {
    "container": groups.CONTAINER,
    "image": groups.IMAGE,
    "volume": groups.VOLUME,
    "network": groups.NETWORK,
    "system": groups.SYSTEM,
    "context": groups.CONTEXT,
}


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, table in GROUPS.items() for name in table])
def test_every_command_of_a_group_explains_itself(group: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, group, name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: atoll {group} {name}")
    assert all(len(line) <= 100 for line in out.splitlines())


def test_help_of_a_group_names_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for group, table in GROUPS.items():
        out = run(capsys, group, "--help")[1]
        assert all((name in out.split()) is not entry.hidden for name, entry in table.items() if name != "list")


def test_every_flag_of_dockers_run_is_there() -> None:
    """Those of Windows apart."""
    names = {name for option in RUN_OPTIONS for name in option.names}
    assert not set(RUN_FLAGS.split()) - names


@pytest.mark.parametrize("name", app.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: atoll {name}")
    assert all(len(line) <= 100 for line in out.splitlines())


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["run"], 125),
        (["run", "--bogus", "x"], 125),
        (["run", "-m"], 125),
        (["ps", "--bogus"], 1),
        (["nonsense"], 2),
        (["exec", "x"], 1),
    ],
)
def test_wrong_usage(args: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    found, out, err = run(capsys, *args)
    assert (found, out) == (code, "")
    assert err.startswith("error: ")
    assert "\nhint: see `atoll" in err


def test_mistyped_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'images'?" in run(capsys, "imgaes")[2]


def test_nobody_at_the_address(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "-H", "tcp://127.0.0.1:1", "ps")
    assert code == 1
    assert err.startswith("error: cannot connect to the engine at tcp://127.0.0.1:1")
    assert run(capsys, "-H", "tcp://127.0.0.1:1", "run", "x")[0] == 125


@pytest.mark.parametrize("text", ["127.0.0.1:1", "ftp://x", "unix://", ""])
def test_address_that_makes_no_sense(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_host(text)


def test_addresses() -> None:
    assert parse_host("unix:///run/x.sock").address == "/run/x.sock"
    assert parse_host("tcp://127.0.0.1:2375/").address == "127.0.0.1:2375"
    assert parse_host("npipe:////./pipe/x").address == "\\\\.\\pipe\\x"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('exec: "nosuch": executable file not found in $PATH', 127),
        ("cannot start container: exec /nosuch: no such file or directory", 127),
        ("cannot start container: exec /etc/passwd: permission denied", 126),
        ("exec format error", 126),
        ("cannot start container: mount /proc: operation not permitted", 125),
    ],
)
def test_exit_code_of_a_failed_start(message: str, code: int) -> None:
    assert start_failure_code(message) == code


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "completion", shell)
    assert code == 0
    assert "_ATOLL_COMPLETE" in out
