"""The flags of `run`, `create` and `exec` as plain rows, spelled as Docker's.

Plain, because two parsers read them: `flags` makes click's options of them, with help, completion and messages, and
`quick` takes a correct command line apart without loading click at all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..errors import ConfigError
from .request import ContainerOptions
from .values import parse_env_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAG, SWITCH, TEXT, MANY, NUMBER = "flag", "switch", "text", "many", "number"


class Option:
    """One flag.

    Attributes:
        kind: FLAG (off unless given), SWITCH (on unless `--no-...`), TEXT, MANY (repeatable) or NUMBER.
        names: as typed, the parameter's name among them.
        parameter: name of the Python parameter.
    """

    def __init__(self, kind: str, *names: str, help: str, metavar: str = "NUMBER") -> None:
        self.kind, self.names, self.help, self.metavar = kind, names, help, metavar
        self.parameter = next(name for name in names if name.startswith("--"))[2:].replace("-", "_")

    @property
    def takes_value(self) -> bool:
        """Whether a value follows."""
        return self.kind not in (FLAG, SWITCH)

    @property
    def default(self) -> Any:
        """What the parameter is when the flag is not given."""
        return {FLAG: False, SWITCH: True, MANY: ()}.get(self.kind)


CONTAINER_OPTIONS = [
    Option(FLAG, "-i", "--interactive", help="Keep stdin open."),
    Option(FLAG, "-t", "--tty", help="Give the container a terminal."),
    Option(TEXT, "--name", help="Name of the container; one is made up otherwise.", metavar="NAME"),
    Option(FLAG, "--rm", help="Remove the container when it ends."),
    Option(MANY, "-e", "--env", help="Set a variable; NAME alone takes its value from here.", metavar="NAME[=VALUE]"),
    Option(MANY, "--env-file", help="Read variables from a file.", metavar="FILE"),
    Option(TEXT, "-w", "--workdir", help="Directory the command starts in.", metavar="PATH"),
    Option(TEXT, "-u", "--user", help="User to run as, by name or number.", metavar="USER[:GROUP]"),
    Option(MANY, "-v", "--volume", help="Mount a directory or a volume.", metavar="SOURCE:TARGET[:ro]"),
    Option(MANY, "--mount", help="Mount, spelled out.", metavar="type=T,source=S,target=T"),
    Option(MANY, "--tmpfs", help="Mount an empty directory in memory.", metavar="TARGET[:OPTIONS]"),
    Option(FLAG, "-P", "--publish-all", help="Publish all exposed ports at free ports."),
    Option(
        MANY,
        "-p",
        "--publish",
        help="Make a port reachable from outside, as 8080:80, 127.0.0.1:53:53/udp, 8000-8010:80.",
        metavar="[ADDRESS:][PORT:]PORT[/PROTOCOL]",
    ),
    Option(MANY, "--expose", help="Note that the container listens at a port.", metavar="PORT[-PORT][/PROTOCOL]"),
    Option(
        MANY,
        "--network",
        "--net",
        help="Network to join: none, host, a name, container:NAME, or name=N,alias=A,ip=I.",
        metavar="NETWORK",
    ),
    Option(MANY, "--network-alias", help="A further name of it in its network.", metavar="NAME"),
    Option(TEXT, "--ip", help="IPv4 address in its network.", metavar="ADDRESS"),
    Option(TEXT, "--ip6", help="IPv6 address in its network.", metavar="ADDRESS"),
    Option(MANY, "--link-local-ip", help="A link-local address in its network.", metavar="ADDRESS"),
    Option(TEXT, "--mac-address", help="Hardware address.", metavar="ADDRESS"),
    Option(MANY, "--link", help="Know another container by name.", metavar="CONTAINER[:ALIAS]"),
    Option(MANY, "--volumes-from", help="Mount what another container mounts.", metavar="CONTAINER[:ro]"),
    Option(TEXT, "--volume-driver", help="Driver of the volumes that are made for it.", metavar="DRIVER"),
    Option(TEXT, "-m", "--memory", help="Memory limit.", metavar="SIZE"),
    Option(TEXT, "--memory-swap", help="Limit of memory and swap together; -1 for no limit.", metavar="SIZE"),
    Option(TEXT, "--memory-reservation", help="Memory to protect from others.", metavar="SIZE"),
    Option(NUMBER, "--memory-swappiness", help="How readily to swap, 0 to 100; -1 for the machine's way."),
    Option(TEXT, "--kernel-memory", help="Limit of kernel memory; engines no longer have it.", metavar="SIZE"),
    Option(TEXT, "--cpus", help="Number of CPUs, as 1.5.", metavar="NUMBER"),
    Option(NUMBER, "-c", "--cpu-shares", help="Weight against other containers."),
    Option(NUMBER, "--cpu-period", help="Period of the CPU limit, microseconds."),
    Option(NUMBER, "--cpu-quota", help="CPU time per period, microseconds."),
    Option(NUMBER, "--cpu-rt-period", help="Period of the real-time CPU limit, microseconds."),
    Option(NUMBER, "--cpu-rt-runtime", help="Real-time CPU time per period, microseconds."),
    Option(TEXT, "--cpuset-cpus", help="CPUs to run on, as 0-2,4.", metavar="LIST"),
    Option(TEXT, "--cpuset-mems", help="Memory nodes to use.", metavar="LIST"),
    Option(NUMBER, "--pids-limit", help="Limit of processes; -1 for none."),
    Option(NUMBER, "--blkio-weight", help="Weight of its disk access, 10 to 1000."),
    Option(MANY, "--blkio-weight-device", help="The same for one device.", metavar="DEVICE:WEIGHT"),
    Option(MANY, "--device-read-bps", help="Limit of reading, bytes per second.", metavar="DEVICE:SIZE"),
    Option(MANY, "--device-write-bps", help="Limit of writing, bytes per second.", metavar="DEVICE:SIZE"),
    Option(MANY, "--device-read-iops", help="Limit of reads per second.", metavar="DEVICE:NUMBER"),
    Option(MANY, "--device-write-iops", help="Limit of writes per second.", metavar="DEVICE:NUMBER"),
    Option(MANY, "--ulimit", help="Limit per process.", metavar="NAME=SOFT[:HARD]"),
    Option(TEXT, "--shm-size", help="Size of /dev/shm.", metavar="SIZE"),
    Option(FLAG, "--oom-kill-disable", help="Do not kill the container when memory runs out."),
    Option(NUMBER, "--oom-score-adj", help="How likely it is to be killed when memory runs out."),
    Option(FLAG, "--read-only", help="Mount the root read-only."),
    Option(MANY, "--cap-add", help="Add a Linux capability.", metavar="CAP"),
    Option(MANY, "--cap-drop", help="Drop a Linux capability.", metavar="CAP"),
    Option(MANY, "--security-opt", help="no-new-privileges, seccomp=unconfined|FILE.", metavar="OPTION"),
    Option(FLAG, "--privileged", help="Give up nearly all isolation inside the machine."),
    Option(MANY, "--device", help="Make a device of the machine available.", metavar="PATH"),
    Option(MANY, "--device-cgroup-rule", help="Allow devices, as 'c 10:200 rwm'.", metavar="RULE"),
    Option(TEXT, "--gpus", help="Refused: engines of atoll have no GPU.", metavar="GPUS"),
    Option(MANY, "--group-add", help="Join another group.", metavar="GROUP"),
    Option(TEXT, "--entrypoint", help="Replace the image's entry point.", metavar="COMMAND"),
    Option(FLAG, "--init", help="Run a small init that reaps and forwards signals."),
    Option(TEXT, "-h", "--hostname", help="Host name.", metavar="NAME"),
    Option(TEXT, "--domainname", help="NIS domain name.", metavar="NAME"),
    Option(MANY, "--add-host", help="Add a line to /etc/hosts.", metavar="NAME:ADDRESS"),
    Option(MANY, "--dns", help="Name server.", metavar="ADDRESS"),
    Option(MANY, "--dns-search", help="Domain to look names up in.", metavar="DOMAIN"),
    Option(MANY, "--dns-option", "--dns-opt", help="Option for /etc/resolv.conf.", metavar="OPTION"),
    Option(MANY, "--label-file", help="Read labels from a file.", metavar="FILE"),
    Option(MANY, "--annotation", help="Set an annotation for the runtime.", metavar="NAME=VALUE"),
    Option(MANY, "-l", "--label", help="Set a label.", metavar="NAME=VALUE"),
    Option(MANY, "--sysctl", help="Set a kernel parameter of the container.", metavar="NAME=VALUE"),
    Option(TEXT, "--pid", help="Share another's processes.", metavar="host|container:NAME"),
    Option(TEXT, "--ipc", help="Share another's IPC.", metavar="MODE"),
    Option(TEXT, "--uts", help="Share the machine's host name.", metavar="host"),
    Option(TEXT, "--userns", help="User namespace: host for the machine's.", metavar="host"),
    Option(TEXT, "--isolation", help="default; others are for Windows.", metavar="NAME"),
    Option(TEXT, "--runtime", help="Runtime to use.", metavar="NAME"),
    Option(MANY, "--storage-opt", help="Option of the storage driver, as size=10g.", metavar="NAME=VALUE"),
    Option(FLAG, "--use-api-socket", help="Give it the engine's API at /var/run/docker.sock."),
    Option(TEXT, "--cgroupns", help="private or host.", metavar="MODE"),
    Option(TEXT, "--cgroup-parent", help="Parent cgroup.", metavar="PATH"),
    Option(TEXT, "--restart", help="Restart policy: no, always, unless-stopped, on-failure[:N].", metavar="POLICY"),
    Option(TEXT, "--log-driver", help="json-file, local or none.", metavar="DRIVER"),
    Option(MANY, "--log-opt", help="Option of the log driver.", metavar="NAME=VALUE"),
    Option(TEXT, "--stop-signal", help="Signal that `stop` sends.", metavar="SIGNAL"),
    Option(NUMBER, "--stop-timeout", help="Seconds until `stop` kills."),
    Option(TEXT, "--health-cmd", help="Command that tells whether the container is healthy.", metavar="COMMAND"),
    Option(TEXT, "--health-interval", help="Time between two checks.", metavar="DURATION"),
    Option(TEXT, "--health-timeout", help="Longest time of one check.", metavar="DURATION"),
    Option(NUMBER, "--health-retries", help="Failures in a row until it is unhealthy."),
    Option(TEXT, "--health-start-period", help="Time in which failures do not count.", metavar="DURATION"),
    Option(TEXT, "--health-start-interval", help="Time between two checks in that period.", metavar="DURATION"),
    Option(FLAG, "--no-healthcheck", help="Do without the image's health check."),
    Option(MANY, "-a", "--attach", help="Attach to stdin, stdout or stderr only.", metavar="STREAM"),
    Option(TEXT, "--cidfile", help="Write the container's id to a file.", metavar="FILE"),
    Option(TEXT, "--platform", help="Platform of the image, as linux/arm64.", metavar="OS/ARCH"),
    Option(TEXT, "--pull", help="When to pull the image: missing or never (always is refused).", metavar="WHEN"),
    Option(FLAG, "-q", "--quiet", help="Show no progress of a pull."),
    Option(FLAG, "--disable-content-trust", help="Accepted; images are never checked for signatures."),
]

SESSION_OPTIONS = [
    Option(FLAG, "-d", "--detach", help="Run in the background and print the container's id."),
    Option(TEXT, "--detach-keys", metavar="KEYS", help="Keys that leave it running.  [default: ctrl-p,ctrl-q]"),
    Option(SWITCH, "--sig-proxy", help="Pass signals on to the container."),
]

RUN_OPTIONS = [*SESSION_OPTIONS, *CONTAINER_OPTIONS]

EXEC_OPTIONS = [
    Option(FLAG, "-d", "--detach", help="Run in the background."),
    Option(TEXT, "--detach-keys", metavar="KEYS", help="Keys that leave it running.  [default: ctrl-p,ctrl-q]"),
    Option(MANY, "-e", "--env", metavar="NAME[=VALUE]", help="Set a variable."),
    Option(MANY, "--env-file", metavar="FILE", help="Read variables from a file."),
    Option(FLAG, "-i", "--interactive", help="Keep stdin open."),
    Option(FLAG, "--privileged", help="Give the command all capabilities."),
    Option(FLAG, "-t", "--tty", help="Give the command a terminal."),
    Option(TEXT, "-u", "--user", metavar="USER[:GROUP]", help="User to run as."),
    Option(TEXT, "-w", "--workdir", metavar="PATH", help="Directory the command starts in."),
]


def read_options(raw: dict[str, Any]) -> ContainerOptions:
    """Make options of click's values: read the files they name.

    Raises:
        ConfigError: a file cannot be read or makes no sense.
    """
    raw["env_file"] = tuple(read_env_files(raw["env_file"]))
    raw["label"] = (*read_env_files(raw.pop("label_file"), "label"), *raw["label"])
    raw["security_opt"] = tuple(_inline_profile(option) for option in raw["security_opt"])
    raw["volume"] = tuple(_absolute_bind(volume) for volume in raw["volume"])
    return ContainerOptions(**raw)


def read_env_files(names: Sequence[str], what: str = "environment") -> list[str]:
    """Read files of variables or labels, in order.

    Raises:
        ConfigError: one cannot be read or makes no sense.
    """
    entries: list[str] = []
    for name in names:
        try:
            with open(name, encoding="utf-8") as file:
                entries += parse_env_file(file.read(), what)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot use {what} file {name}: {_reason(error)}") from error
    return entries


def _reason(error: Exception) -> str:
    return (error.strerror or "").lower() if isinstance(error, OSError) else str(error)


def _inline_profile(option: str) -> str:
    """The engine cannot see the host's files: a seccomp profile travels as JSON."""
    name, _, value = option.replace(":", "=", 1).partition("=") if "=" not in option else option.partition("=")
    if name != "seccomp" or value in ("", "unconfined", "builtin"):
        return option
    try:
        with open(value, encoding="utf-8") as file:
            return f"seccomp={file.read()}"
    except OSError as error:
        raise ConfigError(f"cannot read seccomp profile {value}: {_reason(error)}") from error


def _absolute_bind(volume: str) -> str:
    """A source that begins with a dot or a tilde is a path from here, as in Docker's CLI."""
    source, colon, rest = volume.partition(":")
    if not colon or not source.startswith((".", "~")):
        return volume
    return f"{os.path.abspath(os.path.expanduser(source))}:{rest}"  # noqa: PTH100, PTH111 - resolve() would follow links
