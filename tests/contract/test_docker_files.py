"""docker cp, save, load, import, export, commit, diff, history, prune, df: as Docker's own command line sees them."""

from __future__ import annotations

import io
import json
import os
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import DockerCli

IMAGE = "atoll/base"


@pytest.fixture
def image(docker: DockerCli) -> Iterator[str]:
    """A repository, gone after the test."""
    chosen = f"contract/{secrets.token_hex(4)}"
    yield chosen
    for tag in docker.out("images", "--format", "{{.Repository}}:{{.Tag}}", chosen).split():
        docker("rmi", "-f", tag, code=None)


@pytest.fixture(params=[True, False], ids=["running", "stopped"])
def container(request: pytest.FixtureRequest, docker: DockerCli, name: str) -> str:
    """A container that runs, or does not."""
    if request.param:
        docker("run", "-d", "--network", "none", "--name", name, "-v", "/data", IMAGE, "sleep", "1000")
    else:
        docker("create", "--network", "none", "--name", name, "-v", "/data", IMAGE, "sleep", "1000")
    return name


def test_copy_a_file_both_ways(docker: DockerCli, container: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("hello")
    os.utime(tmp_path / "f", (1_700_000_000, 1_700_000_000))
    (tmp_path / "f").chmod(0o640)
    docker("cp", str(tmp_path / "f"), f"{container}:/data/")
    docker("cp", str(tmp_path / "f"), f"{container}:/tmp/renamed")
    for path in ("/data/f", "/tmp/renamed"):
        docker("cp", f"{container}:{path}", str(tmp_path / "back"))
        status = (tmp_path / "back").stat()
        assert ((tmp_path / "back").read_text(), status.st_mode & 0o777) == ("hello", 0o640)
        assert int(status.st_mtime) == 1_700_000_000


def test_copy_a_tree_both_ways(docker: DockerCli, container: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/file").write_text("deep")
    (tree / "link").symlink_to("a/b")
    docker("cp", str(tree), f"{container}:/tmp")
    docker("cp", f"{tree}/.", f"{container}:/data")
    docker("cp", f"{container}:/tmp/tree", str(tmp_path / "one"))
    docker("cp", f"{container}:/data/.", str(tmp_path / "two"))
    for copy in ("one", "two"):
        assert (tmp_path / copy / "a/b/file").read_text() == "deep"
        assert str((tmp_path / copy / "link").readlink()) == "a/b"
    with tarfile.open(fileobj=io.BytesIO(docker("cp", f"{container}:/tmp/tree/a", "-").stdout)) as archive:
        assert archive.getnames() == ["a", "a/b", "a/b/file"]
    docker("cp", f"{container}:/tmp/tree/link", str(tmp_path / "kept"))
    assert (tmp_path / "kept").is_symlink()
    docker("cp", "-L", f"{container}:/tmp/tree/link", str(tmp_path / "followed"))
    assert (tmp_path / "followed/file").read_text() == "deep"


def test_copy_an_archive_in(docker: DockerCli, container: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("packed")
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"ok"))
    docker("cp", "-", f"{container}:/tmp", stdin=out.getvalue())
    with tarfile.open(fileobj=io.BytesIO(docker("cp", f"{container}:/tmp/packed", "-").stdout)) as archive:
        assert archive.getnames() == ["packed"]


def test_copies_that_fail(docker: DockerCli, container: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    result = docker("cp", f"{container}:/nothing", str(tmp_path), code=1)
    assert b"/nothing" in result.stderr  # in words that changed with the versions
    assert docker("cp", str(tmp_path / "f"), f"{container}:/nothing/", code=1).stderr
    assert docker("cp", str(tmp_path), f"{container}:/bin/busybox", code=1).stderr
    assert docker("cp", str(tmp_path / "f"), f"{container}-not:/", code=1).stderr


def test_a_read_only_container(docker: DockerCli, name: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    docker("create", "--network", "none", "--read-only", "--name", name, IMAGE, "true")
    result = docker("cp", str(tmp_path / "f"), f"{name}:/tmp/", code=1)
    assert b"container rootfs is marked read-only" in result.stderr


def test_saved_images_come_back_the_same(docker: DockerCli, container: str, image: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("new")
    docker("cp", str(tmp_path / "f"), f"{container}:/new")
    made = docker.out(
        "commit", "-m", "why", "-a", "who", "-c", "ENV X=1", "-c", 'CMD ["cat", "/new"]', container, image
    )
    docker("tag", image, f"{image}:second")
    layers = docker.out("inspect", "-f", "{{json .RootFS.Layers}}", image)
    docker("save", "-o", str(tmp_path / "saved.tar"), f"{image}:latest", f"{image}:second")
    docker("rmi", f"{image}:latest", f"{image}:second")
    out = docker.out("load", "-i", str(tmp_path / "saved.tar"))
    assert sorted(out.splitlines()) == [f"Loaded image: {image}:latest", f"Loaded image: {image}:second"]
    assert docker.out("inspect", "-f", "{{.Id}}", image) == made
    assert docker.out("inspect", "-f", "{{json .RootFS.Layers}}", image) == layers
    assert docker.out("inspect", "-f", "{{json .Config.Env}}", image).count("X=1") == 1
    assert docker.out("run", "--rm", "--network", "none", image) == "new"


def test_history(docker: DockerCli, container: str, image: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("12345")
    docker("cp", str(tmp_path / "f"), f"{container}:/new")
    docker("commit", "-m", "why", container, image)
    rows = docker.out("history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Size}}|{{.Comment}}", image).splitlines()
    assert rows[0] == "sleep 1000|5B|why"
    assert len(rows) > 1


def test_export_and_import(docker: DockerCli, container: str, image: str) -> None:
    data = docker("export", container).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert {"etc/passwd", "proc", "tmp"} <= set(archive.getnames())
    made = docker.out("import", "-m", "note", "-c", 'CMD ["cat", "/etc/hostname"]', "-", image, stdin=data)
    assert docker.out("inspect", "-f", "{{.Id}} {{.Comment}} {{json .Config.Cmd}}", image) == (
        f'{made} note ["cat","/etc/hostname"]'
    )
    assert docker.out("run", "--rm", "--network", "none", "-h", "box", image) == "box"


def test_changes_of_a_container(docker: DockerCli, name: str) -> None:
    docker("run", "--network", "none", "--name", name, IMAGE, "sh", "-c", "echo 1 > /new; rm /etc/group; mkdir -p /d/e")
    assert sorted(docker.out("diff", name).splitlines()) == ["A /d", "A /d/e", "A /new", "C /etc", "D /etc/group"]


def test_removing_images(docker: DockerCli, container: str, image: str) -> None:
    made = docker.out("commit", container, f"{image}:1")
    docker("tag", f"{image}:1", f"{image}-other:2")
    result = docker("rmi", made, code=1)
    assert b"must be forced" in result.stderr
    assert docker.out("rmi", f"{image}-other:2") == f"Untagged: {image}-other:2"
    docker("create", "--name", f"{container}-user", f"{image}:1", "true")
    try:
        result = docker("rmi", f"{image}:1", code=1)
        assert b"unable to remove repository reference" in result.stderr
        assert b"(must force) - container" in result.stderr
        result = docker("rmi", made[7:19], code=1)
        assert b"must be forced" in result.stderr
        assert b"stopped container" in result.stderr
    finally:
        docker("rm", f"{container}-user")
    rows = docker.out("rmi", f"{image}:1").splitlines()
    assert rows[0] == f"Untagged: {image}:1"
    assert rows[1] == f"Deleted: {made}"


def test_dangling_images(docker: DockerCli, container: str, image: str) -> None:
    label = f"test={secrets.token_hex(4)}"
    old = docker.out("commit", "-c", f"LABEL {label}", container, image)
    docker("commit", "-c", f"LABEL {label}", "-c", "ENV A=2", container, image)
    filters = ("--filter", f"label={label}")
    assert docker.out("images", "-q", "--no-trunc", "--filter", "dangling=true", *filters).split() == [old]
    assert f"deleted: {old}" in docker.out("image", "prune", "-f", *filters)
    assert docker.out("images", "-q", "--filter", "dangling=true", *filters) == ""
    assert len(docker.out("images", "-q", *filters).split()) == 1


def test_space(docker: DockerCli, container: str) -> None:
    rows = [json.loads(row) for row in docker.out("system", "df", "--format", "{{json .}}").splitlines()]
    assert [row["Type"] for row in rows] == ["Images", "Containers", "Local Volumes", "Build Cache"]
    assert int(rows[1]["TotalCount"]) >= 1
    assert docker.out("system", "df", "-v")
    sizes = docker.out("ps", "-a", "--size", "--filter", f"name={container}", "--format", "{{.Size}}")
    assert "(virtual " in sizes
