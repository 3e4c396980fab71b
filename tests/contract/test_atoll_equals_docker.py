"""Docker's command line and ours, given the same words, against the same engine: same exit code, same output.

What changes from one moment to the next (ids made by the command, spans of time) is made equal first. Where the engine
has no such endpoint there is nothing to compare.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from .conftest import DEADLINE_S, DockerCli, find_docker_clients
from .test_atoll_cli import Atoll

IMAGE = "atoll/base"
OLDEST = (28, 0)
"""The version of docker CLI that ours follows."""
NO_SUCH_ENDPOINT = re.compile(rb"page not found|not implemented|not carried out yet|not supported by this engine", re.I)
SPAN = re.compile(r"(About an? \w+|Less than a second|\d+ (second|minute|hour|day|week|month)s?)( ago)?")
ID = re.compile(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( \+0000 UTC|Z)?")


class Result(NamedTuple):
    """What a command came to."""

    code: int
    out: str


class Pair:
    """Both command lines against one engine, and things to show with them."""

    def __init__(self, docker: DockerCli, atoll: Atoll, suffix: str, folder: Path) -> None:
        self.docker, self.atoll, self.folder = docker, atoll, folder
        self.names = {
            "RUNNING": f"same-running-{suffix}",
            "STOPPED": f"same-stopped-{suffix}",
            "VOLUME": f"same-volume-{suffix}",
            "NETWORK": f"same-network-{suffix}",
            "LABEL": f"same={suffix}",
            "TAGGED": f"same/image-{suffix}:v1",
            "REPOSITORY": f"same/image-{suffix}",
            "FOLDER": str(folder),
        }

    def fill(self, line: str) -> list[str]:
        """The words of a line, with names in place of `{RUNNING}` and the like; quotes keep spaces."""
        words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", line)]
        for name, value in self.names.items():
            words = [word.replace(f"<{name}>", value) for word in words]
        return words

    def by_docker(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run Docker's."""
        return subprocess.run(self.docker.command(*words), stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=DEADLINE_S)  # fmt: skip

    def by_atoll(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run ours."""
        return subprocess.run([*self.atoll.command, *words], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=DEADLINE_S, env=self.atoll.env)  # fmt: skip

    def compare(self, line: str) -> Result:
        """Run a line by both, and see that they come to the same; returns what Docker's came to."""
        words = self.fill(line)
        docker, atoll = self.by_docker(*words), self.by_atoll(*words)
        if docker.returncode and NO_SUCH_ENDPOINT.search(docker.stderr):
            pytest.skip(f"the engine has no such endpoint: {docker.stderr.decode().strip()}")
        theirs, ours = (Result(done.returncode, equalize(done.stdout.decode())) for done in (docker, atoll))
        assert ours == theirs, (words, docker.stderr, atoll.stderr)
        if theirs.code:
            assert atoll.stderr.startswith(b"error: "), atoll.stderr
            assert b"Traceback" not in atoll.stderr
        return theirs


def equalize(text: str) -> str:
    """Take out what changes between two runs, and the order of fields in JSON."""
    lines = []
    for line in [_one_json(text)] if text.startswith("[") else text.split("\n"):
        line = SPAN.sub("SPAN", MOMENT.sub("MOMENT", _one_json(line)))
        lines.append(re.sub(r" +", " ", line).rstrip())  # columns are as wide as what stands in them
    return "\n".join(lines).rstrip("\n")


def _one_json(text: str) -> str:
    try:
        value = json.loads(text) if text[:1] in ("{", "[") else None
    except ValueError:
        return text
    if isinstance(value, list):
        for item in value:
            item.pop("RepoTags", None)  # others beside give the same image names, too
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else text


@pytest.fixture(scope="module")
def newest_docker(engine_host: str, tmp_path_factory: pytest.TempPathFactory) -> DockerCli:
    """The newest docker CLI of this computer: older ones print some things otherwise."""
    clients = [DockerCli(program, engine_host, tmp_path_factory.mktemp("docker")) for program in find_docker_clients()]
    versions = [tuple(map(int, re.findall(r"\d+", c.out("version", "-f", "{{.Client.Version}}"))[:2])) for c in clients]
    if not versions or max(versions) < OLDEST:
        pytest.skip(f"no docker CLI of version {OLDEST[0]} or newer")
    return clients[versions.index(max(versions))]


@pytest.fixture(scope="module")
def shared(newest_docker: DockerCli, engine_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair whose things nobody changes."""
    with _made(Pair(newest_docker, Atoll(engine_host), secrets.token_hex(4), tmp_path_factory.mktemp("same"))) as pair:
        yield pair


@pytest.fixture
def pair(newest_docker: DockerCli, engine_host: str, tmp_path: Path) -> Iterator[Pair]:
    """A pair of a test's own."""
    with _made(Pair(newest_docker, Atoll(engine_host), secrets.token_hex(4), tmp_path)) as pair:
        yield pair


@contextmanager
def _made(pair: Pair) -> Iterator[Pair]:
    """Make a running and a stopped container, a volume, a network and a named image."""
    docker, fill = pair.docker, pair.fill
    docker(*fill(f"tag {IMAGE} <TAGGED>"))
    docker(*fill("volume create --label <LABEL> <VOLUME>"))
    docker(*fill("network create --label <LABEL> <NETWORK>"))
    try:
        docker(*fill(f"run -d --name <RUNNING> --network <NETWORK> -l <LABEL> -v <VOLUME>:/data -p 127.0.0.1::80"
                     f" --expose 7-9 --expose 53/udp {IMAGE} sleep 1000"))  # fmt: skip
        docker(*fill(f"run --name <STOPPED> --network none -l <LABEL> {IMAGE} sh -c"), "echo out; touch /made; exit 3",
               code=3)  # fmt: skip
        yield pair
    finally:
        docker(*fill("rm -f -v <RUNNING> <STOPPED>"), code=None)
        docker(*fill("network rm <NETWORK>"), code=None)
        docker(*fill("volume rm <VOLUME>"), code=None)
        docker(*fill("rmi <TAGGED>"), code=None)


LOOKING = """
ps --filter label=<LABEL>
ps -a --filter label=<LABEL> --no-trunc
ps -a --filter label=<LABEL> --format 'table {{.Names}}\\t{{.Ports}}\\t{{.Label "same"}}'
ps -a --filter label=<LABEL> --format json
ps -a -q --filter label=<LABEL>
ps -s --filter label=<LABEL> --format '{{.Names}} {{.Size}}'
container ls --filter name=<RUNNING> --format '{{json .}}'
ps --filter nosuch=x
ps --format '{{.Nope}}'
images <REPOSITORY>
images --digests --no-trunc <REPOSITORY>
image ls --format json <REPOSITORY>
images -q <REPOSITORY>
image ls --filter reference=<TAGGED> --format '{{.Repository}}|{{.Tag}}'
history <TAGGED>
history --no-trunc --format json <TAGGED>
history -q <TAGGED>
image history --human=false <TAGGED>
history nosuch:image
volume ls --filter name=<VOLUME>
volume ls -q --filter label=<LABEL>
volume list --filter name=<VOLUME> --format json
volume inspect <VOLUME>
volume inspect -f '{{.Name}} {{.Labels.same}} {{.Options}}' <VOLUME>
volume inspect nosuch-volume <VOLUME>
network ls --filter name=<NETWORK>
network ls --no-trunc --filter label=<LABEL>
network ls --filter name=<NETWORK> --format '{{.Name}} {{.Driver}} {{.Internal}} {{.Label "same"}}'
network ls -q --filter label=<LABEL>
network inspect <NETWORK>
network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}} {{range .Containers}}{{.Name}}{{end}}' <NETWORK>
network inspect nosuch-network
inspect <RUNNING>
inspect <RUNNING> <TAGGED> <VOLUME> <NETWORK>
inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' <RUNNING>
inspect -f '{{range $p, $b := .NetworkSettings.Ports}}{{$p}}{{range $b}}{{.HostIp}}{{end}} {{end}}' <RUNNING>
inspect -f '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}' <RUNNING>
inspect -f '{{index .Config.Labels "same"}}|{{.Config.Labels.nope}}|{{json .Config.Cmd}}|{{len .Mounts}}' <RUNNING>
inspect -f '{{if .State.Running}}up{{else}}down {{.State.ExitCode}}{{end}} {{.Name | upper}}' <STOPPED>
inspect -f '{{join .Config.Env "+"}} {{printf "%s/%v" .Name .State.ExitCode}}' <STOPPED>
inspect -f json <TAGGED>
inspect --type volume <VOLUME>
inspect --type network <RUNNING>
inspect nosuch <STOPPED>
container inspect <STOPPED>
container inspect <NETWORK>
image inspect <TAGGED>
image inspect -f '{{.Os}}/{{.Architecture}} {{.RepoTags}}' <TAGGED>
port <RUNNING>
port <RUNNING> 80
port <RUNNING> 80/udp
container port <STOPPED>
top <RUNNING>
top <RUNNING> -o pid,comm
top <STOPPED>
diff <STOPPED>
diff nosuch
logs <STOPPED>
container logs nosuch
stats --no-stream --format '{{.Name}} {{.PIDs}} {{.ID}} {{.Container}}' <RUNNING>
stats --no-stream --no-trunc --format 'table {{.Name}}\\t{{.PIDs}}' <RUNNING>
stats --no-stream nosuch
system df --format '{{.Type}}'
version --format '{{.Server.Version}} {{.Server.Os}}'
info --format '{{.OSType}} {{.Driver}} {{.Swarm.LocalNodeState}}'
""".strip().splitlines()

DOING = """
pause <RUNNING>; unpause <RUNNING>
unpause <RUNNING>
pause nosuch <STOPPED>
stop -t 0 <RUNNING>; start <RUNNING>; restart -t 0 <RUNNING>; container kill <RUNNING>
kill -s NOSUCH <RUNNING>
wait <STOPPED>
rename <STOPPED> <STOPPED>-new; rename <STOPPED>-new <STOPPED>
rename <STOPPED> <RUNNING>
update -m 64m --memory-swap 64m --pids-limit 50 <RUNNING>; update --restart on-failure:2 <RUNNING> <STOPPED>
update <RUNNING>
update --restart sometimes <RUNNING>
exec <RUNNING> sh -c 'echo hi; exit 5'
start -a <STOPPED>
tag <TAGGED> <REPOSITORY>:v2; image rm <REPOSITORY>:v2; rmi <REPOSITORY>:v2
tag nosuch:image x
volume create --label a=b <VOLUME>-2; volume rm <VOLUME>-2; volume rm <VOLUME>-2; volume remove -f <VOLUME>-2
volume rm <VOLUME>
network disconnect <NETWORK> <RUNNING>; network connect --alias extra <NETWORK> <RUNNING>
network connect <NETWORK> nosuch
network disconnect nosuch <RUNNING>
network rm <NETWORK>
network rm nosuch; network rm -f nosuch
network create --subnet 10.1.0.0/24 --gateway 10.2.0.1 x
rm <RUNNING>
rm nosuch; rm -f nosuch; container remove nosuch
rmi nosuch:image
container prune -f --filter label=nosuch
image prune -f --filter label=nosuch; image prune -a -f --filter label=nosuch
volume prune -f --filter label=nosuch
network prune -f --filter label=nosuch
system prune -f --filter label=nosuch
export nosuch
save nosuch:image
commit nosuch
cp <STOPPED>:/nosuch <FOLDER>
cp <FOLDER>/nosuch <STOPPED>:/
cp <STOPPED>:/made <FOLDER>/nosuch/made
cp <FOLDER> <STOPPED>:/made
cp <STOPPED>:/tmp <RUNNING>:/tmp
cp <FOLDER> <FOLDER>
run --rm --network none atoll/base sh -c 'exit 9'
run --rm --network none --entrypoint nosuch atoll/base
run --rm --network none -p 70000 atoll/base true
run --rm --network none -p 1-3:4-5 atoll/base true
create --mount type=bind,target=/x atoll/base
create --network host --network-alias x atoll/base
create --no-healthcheck --health-cmd true atoll/base
""".strip().splitlines()
"""Each command of a line leaves things as it found them, so that both may do it in turn."""


@pytest.mark.parametrize("line", LOOKING)
def test_looking(shared: Pair, line: str) -> None:
    shared.compare(line)


@pytest.mark.parametrize("line", DOING)
def test_doing(pair: Pair, line: str) -> None:
    commands = line.split("; ") if "'" not in line else [line]
    theirs = [_run(pair.by_docker, pair, command) for command in commands]
    ours = [_run(pair.by_atoll, pair, command) for command in commands]
    assert ours == theirs


def _run(program: Callable[..., subprocess.CompletedProcess[bytes]], pair: Pair, line: str) -> Result:
    done = program(*pair.fill(line))
    if done.returncode and NO_SUCH_ENDPOINT.search(done.stderr):
        pytest.skip(f"the engine has no such endpoint: {done.stderr.decode().strip()}")
    assert b"Traceback" not in done.stderr
    return Result(done.returncode, ID.sub("ID", equalize(done.stdout.decode())))


FLAGS = """
-p 8080:80 -p 127.0.0.1:5353:53/udp -p 0:90 -p [::1]:9000-9002:9000-9002 -P --expose 7-9/tcp --expose 11/udp
-p target=80,published=8081 -p 9/sctp
--network <NETWORK> --network-alias a --network-alias b --mac-address 02:42:00:00:00:09 --link <RUNNING>:other
--network name=<NETWORK>,alias=web --dns 1.1.1.1 --dns-search x --dns-option ndots:2 --add-host a:1.2.3.4
--network none --hostname h --domainname d --ipc private --pid host --cgroupns private
--network bridge --uts host --link-local-ip 169.254.9.9
--health-cmd true --health-interval 1m30s --health-timeout 5s --health-retries 2 --health-start-period 1s
--no-healthcheck --init --stop-signal QUIT --stop-timeout 7 --read-only
--label-file <FOLDER>/file --env-file <FOLDER>/file
-m 64m --memory-reservation 32m --memory-swap 128m --cpus 0.5 --cpuset-cpus 0 --pids-limit 9 --oom-score-adj 5 -c 100
--ulimit nofile=10:20 --shm-size 1m --sysctl net.ipv4.ip_unprivileged_port_start=0 --device /dev/null:/dev/x:r
--device-cgroup-rule 'c 10:200 rwm' --group-add 5 --cap-add NET_ADMIN --cap-drop ALL --security-opt no-new-privileges
-v <VOLUME>:/a:ro -v /tmp:/b:rslave -v /anonymous --tmpfs /t:size=1m --volumes-from <RUNNING>:ro --volume-driver local
--mount type=volume,src=<VOLUME>,dst=/a,volume-nocopy --mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770
--mount type=bind,src=/tmp,dst=/b,ro,bind-propagation=rslave --restart on-failure:3
--log-driver json-file --log-opt max-size=1m --annotation a=b --storage-opt size=1g
--use-api-socket
-i -t -e A=1 -e B -w /tmp -u 1000:1000 -l x=y --log-driver none --privileged --userns host --isolation default
--blkio-weight 0 --memory-swappiness -1 --cpu-rt-runtime 0 --kernel-memory 0 --runtime runc --pull never -q
""".strip().splitlines()
"""Flags of `create`, which must make the same container."""

VARYING = ("Id", "Created", "Hostname", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "GraphDriver",
           "ContainerIDFile", "ConsoleSize", "MountLabel", "ProcessLabel")  # fmt: skip


@pytest.mark.parametrize("flags", FLAGS)
def test_same_container_is_created(shared: Pair, flags: str) -> None:
    (shared.folder / "file").write_text("# comment\nFROM=file\nOTHER\n", encoding="utf-8")
    made: list[list[str]] = []
    name = f"same-made-{secrets.token_hex(4)}"
    for program in (shared.by_docker, shared.by_atoll):
        done = program("create", "--name", name, *shared.fill(flags), IMAGE, "sleep", "1")
        if made and done.returncode:
            pytest.fail(done.stderr.decode())
        if done.returncode:
            pytest.skip(f"refused by the engine: {done.stderr.decode().strip()}")
        identity = done.stdout.decode().strip()
        found = _steady(json.loads(shared.docker.out("inspect", identity))[0], identity)
        made.append(json.dumps(found, indent=1, sort_keys=True).splitlines())
        shared.docker("rm", "-v", identity)
    assert made[1] == made[0]


def _steady(found: dict[str, object], identity: str) -> dict[str, object]:
    """A container without what is another's each time; what is empty and what is not there are the same."""

    def clean(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            kept = {name: clean(item, name) for name, item in value.items() if name not in VARYING}
            return {name: item for name, item in kept.items() if item not in (None, "", [], {}, 0, False)}
        if isinstance(value, list):
            items = [clean(item) for item in value]
            return sorted(items, key=str) if key in ("Mounts", "Binds", "Env") else items
        return ID.sub("ID", value.replace(identity, "ID")) if isinstance(value, str) else value

    host = found["HostConfig"]
    if isinstance(host, dict) and host.get("MemorySwappiness") == -1:
        host["MemorySwappiness"] = None  # Docker's sends -1 for not asked
    cleaned = clean(found)
    assert isinstance(cleaned, dict)
    return cleaned


def test_info_about_the_engine(shared: Pair) -> None:
    def lines(done: subprocess.CompletedProcess[bytes]) -> list[str]:
        text = done.stdout.decode().partition("Server:\n")[2]
        rows = [" ".join(sorted(line.split())) if "Runtimes:" in line else line for line in text.splitlines()]
        return [line for line in rows if not re.match(" (Containers|Images|  ?(Running|Stopped|Paused)):", line)]

    ours = lines(shared.by_atoll("info"))
    assert ours == lines(shared.by_docker("info")) == lines(shared.by_docker("system", "info"))
    assert len(ours) > 10


def test_contexts_are_shared(pair: Pair, tmp_path: Path) -> None:
    """What one writes the other reads, and the docker command follows the context that ours chose."""
    host, program = pair.atoll.env["ATOLL_HOST"], pair.docker.command()[0]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "ATOLL_"))}
    env["DOCKER_CONFIG"] = str(tmp_path / "config")

    def run(*words: str) -> bytes:
        return subprocess.run(words, env=env, capture_output=True, check=True, timeout=DEADLINE_S).stdout

    atoll = pair.atoll.command
    run(*atoll, "-H", host, "context", "create", "ours")
    run(program, "context", "create", "theirs", "--docker", f"host={host}", "--description", "by docker")
    for words in (["ls"], ["ls", "--format", "json"], ["ls", "-q"], ["inspect", "ours", "theirs"], ["show"]):
        theirs, ours = (run(*who, "context", *words).decode() for who in ([program], atoll))
        assert equalize(ours) == equalize(theirs)
    run(*atoll, "context", "use", "ours")
    names = run(program, "ps", "-a", "--format", "{{.Names}}").decode().split()
    assert pair.names["RUNNING"] in names
    assert run(*atoll, "context", "show") == run(program, "context", "show") == b"ours\n"
    run(*atoll, "context", "export", "ours", str(tmp_path / "ours.tar"))
    run(program, "context", "import", "again", str(tmp_path / "ours.tar"))
    run(program, "context", "export", "theirs", str(tmp_path / "theirs.tar"))
    run(*atoll, "context", "import", "thence", str(tmp_path / "theirs.tar"))
    assert run(program, "context", "inspect", "-f", "{{.Endpoints.docker.Host}}", "thence").decode().strip() == host
    run(*atoll, "context", "rm", "-f", "ours", "theirs", "again", "thence")
    assert run(program, "context", "ls", "-q") == b"default\n"


COPIES = [
    ("file", "/dest"), ("file", "/dest/"), ("file", "/dest/new"), ("file", "/dest/old"), ("file", "/none/"),
    ("tree", "/dest"), ("tree/", "/dest"), ("tree/.", "/dest"), ("tree", "/dest/new"), ("tree/.", "/dest/new"),
    ("tree", "/dest/old"), ("link", "/dest"), ("treelink", "/dest"), ("treelink/", "/dest"), ("treelink/.", "/dest"),
    ("file", "/destlink"), ("tree", "/destlink"), ("file/", "/dest"), ("-L link", "/dest"), ("-L treelink", "/dest"),
    ("-a tree", "/dest"), ("file", "/dest/."), ("tree", "/dest/."), ("file", "/nowhere/new"),
]  # fmt: skip
PREPARE = "mkdir /dest; echo old > /dest/old; ln -s dest /destlink; sleep 1000"
SHOW = "cd /dest && find . | sort | while read f; do stat -c '%n %F %a %u %s' $f; done; cat /dest/old"


def _make_tree(root: Path) -> None:
    (root / "tree" / "sub").mkdir(parents=True)
    (root / "tree" / "sub" / "a").write_text("aaa")
    (root / "tree" / "sub" / "a").chmod(0o640)
    (root / "tree" / "inner").symlink_to("sub/a")
    (root / "file").write_text("content")
    (root / "link").symlink_to("file")
    (root / "treelink").symlink_to("tree", target_is_directory=True)


@pytest.mark.parametrize(("source", "destination"), COPIES)
def test_copy_into_a_container(shared: Pair, tmp_path: Path, source: str, destination: str) -> None:
    _make_tree(tmp_path)
    *flags, path = source.split()
    shown = []
    for program in (shared.by_docker, shared.by_atoll):
        identity = shared.docker.out("run", "-d", "--network", "none", IMAGE, "sh", "-c", PREPARE)
        try:
            shared.docker("exec", identity, "sh", "-c", "until test -h /destlink; do sleep 0.01; done")
            done = program("cp", *flags, f"{tmp_path}/{path}", f"{identity}:{destination}")
            if done.returncode and NO_SUCH_ENDPOINT.search(done.stderr):
                pytest.skip("the engine has no archives yet")
            shown.append((done.returncode, shared.docker.out("exec", identity, "sh", "-c", SHOW)))
        finally:
            shared.docker("rm", "-f", identity)
    assert shown[1] == shown[0]


SOURCES = (
    "mkdir -p /tree/sub; echo aaa > /tree/sub/a; chmod 640 /tree/sub/a; ln -s sub/a /tree/inner; echo content > /file;"
    " ln -s file /link; ln -s tree /treelink; sleep 1000"
)


@pytest.mark.parametrize(("source", "destination"), COPIES)
def test_copy_out_of_a_container(shared: Pair, tmp_path: Path, source: str, destination: str) -> None:
    *flags, path = source.split()
    identity = shared.docker.out("run", "-d", "--network", "none", IMAGE, "sh", "-c", SOURCES)
    shown = []
    try:
        shared.docker("exec", identity, "sh", "-c", "until test -h /treelink; do sleep 0.01; done")
        for program in (shared.by_docker, shared.by_atoll):
            root = tmp_path / "root"
            (root / "dest").mkdir(parents=True)
            (root / "dest" / "old").write_text("old")
            (root / "destlink").symlink_to("dest", target_is_directory=True)
            done = program("cp", *flags, f"{identity}:/{path}", f"{root}{destination}")
            if done.returncode and NO_SUCH_ENDPOINT.search(done.stderr):
                pytest.skip("the engine has no archives yet")
            shown.append((done.returncode, sorted(_describe(root / "dest", item) for item in root.rglob("*"))))
            shutil.rmtree(root)
    finally:
        shared.docker("rm", "-f", identity)
    assert shown[1] == shown[0]


def _describe(root: Path, path: Path) -> tuple[str, str, int, str]:
    name, mode = os.path.relpath(path, root), path.lstat().st_mode
    if path.is_symlink():
        return name, "link", 0, os.readlink(path)  # noqa: PTH115
    return name, "directory" if path.is_dir() else "file", mode, "" if path.is_dir() else path.read_text()


def test_archives_both_ways(pair: Pair) -> None:
    """`cp -`, `export`, `import`, `commit`, `save`, `load`: what one writes the other reads."""
    fill = pair.fill
    out = pair.by_atoll(*fill("cp <STOPPED>:/etc -"))
    if out.returncode and NO_SUCH_ENDPOINT.search(out.stderr):
        pytest.skip("the engine has no archives yet")
    assert out.stdout == pair.by_docker(*fill("cp <STOPPED>:/etc -")).stdout
    pair.atoll("cp", "-", *fill("<STOPPED>:/tmp"), stdin=out.stdout)
    assert b"/tmp/etc" in pair.by_docker(*fill("diff <STOPPED>")).stdout
    archive, name = pair.folder / "export.tar", pair.names["REPOSITORY"]
    exported = pair.by_atoll(*fill("export -o <FOLDER>/export.tar <STOPPED>"))
    if exported.returncode and NO_SUCH_ENDPOINT.search(exported.stderr):
        pytest.skip("the engine does not export yet")
    assert archive.stat().st_size == len(pair.by_docker(*fill("export <STOPPED>")).stdout)
    try:
        identity = pair.atoll.out("import", "-m", "note", "-c", 'CMD ["true"]', str(archive), f"{name}:imported")
        assert identity == pair.docker.out("inspect", "-f", "{{.Id}}", f"{name}:imported")
        assert pair.docker.out("inspect", "-f", "{{.Config.Cmd}}", f"{name}:imported") == "[true]"
        identity = pair.atoll.out(
            "commit", "-a", "me", "-m", "note", "-c", "ENV X=1", pair.names["STOPPED"], f"{name}:made"
        )
        assert identity == pair.docker.out("inspect", "-f", "{{.Id}}", f"{name}:made")
        assert pair.docker.out("inspect", "-f", "{{.Author}} {{.Comment}}", f"{name}:made") == "me note"
        pair.atoll("save", "-o", str(pair.folder / "saved.tar"), f"{name}:made", f"{name}:imported")
        pair.docker("rmi", f"{name}:made", f"{name}:imported")
        loaded = pair.docker.out("load", "-q", "-i", str(pair.folder / "saved.tar"))
        assert sorted(loaded.splitlines()) == [f"Loaded image: {name}:imported", f"Loaded image: {name}:made"]
    finally:
        pair.docker("rmi", "-f", f"{name}:made", f"{name}:imported", code=None)
