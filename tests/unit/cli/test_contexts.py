"""Docker's contexts on disk."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from atoll.cli import app
from atoll.cli.context_files import MAX_SIZE, format_archive, parse_archive
from atoll.cli.context_store import Context, ContextStore, check_name
from atoll.errors import ConfigError


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContextStore:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return ContextStore()


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = app.run(["context", *args])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_description_is_where_docker_looks(store: ContextStore, tmp_path: Path) -> None:
    store.save(Context("zz", host="unix:///a/b", description="hi", tls={"ca.pem": b"ca"}))
    digest = "4a60bf7d4bc1e485744cf7e8d0860524752fca1ce42331be7c439fd23043f151"
    meta = tmp_path / "docker" / "contexts" / "meta" / digest / "meta.json"
    assert json.loads(meta.read_bytes()) == {
        "Name": "zz",
        "Metadata": {"Description": "hi"},
        "Endpoints": {"docker": {"Host": "unix:///a/b", "SkipTLSVerify": False}},
    }
    assert (tmp_path / "docker" / "contexts" / "tls" / digest / "docker" / "ca.pem").read_bytes() == b"ca"
    assert store.get("zz") == Context("zz", host="unix:///a/b", description="hi", tls={"ca.pem": b"ca"})


def test_use_leaves_other_settings_alone(store: ContextStore, tmp_path: Path) -> None:
    config = tmp_path / "docker" / "config.json"
    config.parent.mkdir()
    config.write_text('{"auths": {"x": {}}, "currentContext": "old"}')
    store.use("zz")
    assert json.loads(config.read_bytes()) == {"auths": {"x": {}}, "currentContext": "zz"}
    assert store.current() == "zz"
    store.use("default")
    assert json.loads(config.read_bytes()) == {"auths": {"x": {}}}
    config.write_text("{broken")
    with pytest.raises(ConfigError):
        store.use("zz")
    assert config.read_text() == "{broken"


def test_environment_counts_more(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    ContextStore(docker, {}).use("zz")
    assert ContextStore(docker, {"DOCKER_CONTEXT": "yy"}).current() == "yy"
    named = ContextStore(docker, {"DOCKER_HOST": "tcp://x:1", "DOCKER_CONTEXT": "yy"})
    assert (named.current(), named.default().host) == ("default", "tcp://x:1")


@pytest.mark.parametrize("name", ["default", "x", "", "-a", "a/b", "../x", "a b"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        check_name(name)


def test_life_of_a_context(store: ContextStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "create", "far", "--docker", "host=tcp://far:1", "--description", "d")[:2] == (0, "far\n")
    assert run(capsys, "create", "far", "--docker", "host=tcp://far:1")[0] == 1
    assert run(capsys, "create", "copy", "--from", "far")[0] == 0
    assert run(capsys, "ls", "-q")[1].split() == ["copy", "default", "far"]
    assert run(capsys, "use", "far")[:2] == (0, "far\n")
    assert run(capsys, "show")[1] == "far\n"
    assert "far *" in run(capsys, "ls")[1]
    assert run(capsys, "update", "far", "--docker", "host=tcp://other:1")[0] == 0
    assert run(capsys, "inspect", "-f", "{{.Endpoints.docker.Host}} {{.Metadata.Description}}")[1] == (
        "tcp://other:1 d\n"
    )
    archive = tmp_path / "far.tar"
    assert run(capsys, "export", "far", str(archive))[0] == 0
    assert run(capsys, "import", "again", str(archive))[:2] == (0, "again\n")
    assert store.get("again").host == "tcp://other:1"
    assert run(capsys, "rm", "far")[0] == 1
    assert run(capsys, "rm", "-f", "far", "nosuch")[:2] == (0, "far\nnosuch\n")
    assert run(capsys, "show")[1] == "default\n"
    assert run(capsys, "rm", "default")[0] == 1
    assert run(capsys, "inspect", "far")[:2] == (1, "[]\n")
    assert run(capsys, "use", "far")[0] == 1


@pytest.mark.parametrize(
    "value", ["colour=red", "host", "host=", "host=x,skip-tls-verify=perhaps", "host=x,ca=/nosuch"]
)
def test_address_that_makes_no_sense(store: ContextStore, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "create", "far", "--docker", value)
    assert (code, err.startswith("error: ")) == (1, True)
    assert [context.name for context in store.list()] == ["default"]


def test_context_of_a_machine_that_is_not_there(store: ContextStore, capsys: pytest.CaptureFixture[str],
                                                tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ATOLL_HOST", raising=False)
    code, _, err = run(capsys, "create", "dev")
    assert code == 1
    assert "there is no machine" in err


CONTEXT = Context("zz", host="tcp://x:1", tls={"ca.pem": b"ca", "key.pem": b"key"})


def zipped(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"{}") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.linkname = kind, len(data), "x"
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_archive_of_a_context() -> None:
    assert parse_archive(format_archive(CONTEXT)) == CONTEXT
    meta = json.dumps(CONTEXT.to_meta()).encode()
    assert parse_archive(zipped({"meta.json": meta, "tls/docker/ca.pem": b"ca"})).tls == {"ca.pem": b"ca"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense" * 100,
        tarred("evil"),
        tarred("../meta.json"),
        tarred("tls/docker/../../evil"),
        tarred("meta.json", tarfile.SYMTYPE, b""),
        tarred("meta.json", data=b"[]"),
        tarred("meta.json", data=b"{"),
        zipped({"tls/docker/ca.pem": b"ca"}),
        zipped({"meta.json": bytes(MAX_SIZE + 1)}),
        bytes(MAX_SIZE + 1),
        b"PK\3\4",
    ],
)
def test_archive_that_is_no_context(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_archive(data)
