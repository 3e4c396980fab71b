"""Images through the API: saved, loaded, imported, committed, pruned, measured."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import os
import secrets
import tarfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Engine

ROOT = {"NetworkMode": "none"}


@pytest.fixture
def name(engine: Engine) -> Iterator[str]:
    """A repository, gone after the test with all its tags."""
    chosen = f"images/{secrets.token_hex(4)}"
    yield chosen
    for row in engine.ok("GET", "/containers/json", all=1):
        if row["Image"].startswith(chosen):
            engine.call("DELETE", f"/containers/{row['Id']}", force=1)
    for row in engine.ok("GET", "/images/json", all=1, filters=json.dumps({"reference": [f"{chosen}*"]})):
        for tag in row["RepoTags"]:
            engine.call("DELETE", f"/images/{tag}", force=1)


@pytest.fixture
def made(engine: Engine) -> Iterator[list[str]]:
    containers: list[str] = []
    yield containers
    for container in containers:
        engine.call("DELETE", f"/containers/{container}", force=1, v=1)


def root_archive(**files: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def import_root(engine: Engine, name: str, data: bytes, changes: tuple[str, ...] = (), **query: Any) -> str:
    answer = engine.ok("POST", "/images/create", data, fromSrc="-", repo=name, changes=changes, **query)
    assert answer["status"].startswith("sha256:"), answer
    return str(answer["status"])


def unpack(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isreg()}  # type: ignore[union-attr]


def image(engine: Engine, name: str) -> dict[str, Any]:
    found: dict[str, Any] = engine.ok("GET", f"/images/{name}/json")
    return found


def test_saved_and_loaded_it_is_the_same(engine: Engine, name: str, made: list[str]) -> None:
    made.append(engine.running("sleep", "1000"))
    engine.execute(made[0], "sh", "-c", "echo new > /new; rm /etc/group; rm -r /root; mkdir /root; ln /new /hard")
    made_id = engine.ok("POST", "/commit", None, container=made[0], repo=name, tag="v1")["Id"]
    before = image(engine, f"{name}:v1")
    data = engine.ok("GET", f"/images/{name}:v1/get")
    files = unpack(data)
    manifest = json.loads(files["manifest.json"])
    assert manifest[0]["RepoTags"] == [f"{name}:v1"]
    for path, blob in files.items():
        if path.startswith("blobs/"):
            assert path == f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}"
    layers = [f"sha256:{hashlib.sha256(files[path]).hexdigest()}" for path in manifest[0]["Layers"]]
    assert layers == before["RootFS"]["Layers"]
    engine.ok("DELETE", f"/containers/{made.pop()}", force=1)
    assert {"Deleted": made_id} in engine.ok("DELETE", f"/images/{name}:v1")
    for packed in (data, gzip.compress(data, 1), lzma.compress(data, preset=0)):
        assert engine.ok("POST", "/images/load", packed, quiet=1) == {"stream": f"Loaded image: {name}:v1\n"}
        assert image(engine, f"{name}:v1")["Id"] == made_id
        code, output = engine.run("sh", "-c", "cat /new /hard; ls /etc/group", Image=f"{name}:v1")
        assert (code, output.startswith("new\nnew\n")) == (1, True)
        engine.ok("DELETE", f"/images/{name}:v1")


def test_an_oci_layout_alone_is_loaded(engine: Engine, name: str) -> None:
    made = import_root(engine, name, root_archive(file="1"))
    files = unpack(engine.ok("GET", f"/images/{name}/get"))
    engine.ok("DELETE", f"/images/{name}")
    del files["manifest.json"], files["repositories"]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, blob in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(blob)
            archive.addfile(entry, io.BytesIO(blob))
    answer = engine.ok("POST", "/images/load", out.getvalue())
    assert answer == {"stream": f"Loaded image: {name}:latest\n"}
    assert image(engine, name)["Id"] == made
    _, answer = engine.call("POST", "/images/load", out.getvalue(), platform='{"os":"linux","architecture":"s390x"}')
    assert "platform" in answer["error"]
    assert engine.call("POST", "/images/load", out.getvalue(), platform="{")[0] == 400


def test_several_images_in_one_archive(engine: Engine, name: str) -> None:
    ids = [import_root(engine, f"{name}-{text}", root_archive(file=text)) for text in ("a", "b")]
    engine.ok("POST", f"/images/{ids[0]}/tag", None, repo=f"{name}-a", tag="second")
    data = engine.ok("GET", "/images/get", names=[f"{name}-a", ids[1]])
    rows = json.loads(unpack(data)["manifest.json"])
    assert [sorted(row["RepoTags"] or []) for row in rows] == [[f"{name}-a:latest", f"{name}-a:second"], []]
    assert len(json.loads(unpack(data)["index.json"])["manifests"]) == 3
    assert engine.call("GET", "/images/get", names=[f"{name}-a", f"{name}-none"])[0] == 404
    assert engine.call("GET", "/images/get")[0] == 400


def test_an_imported_root(engine: Engine, name: str) -> None:
    changes = ('CMD ["/file"]', "ENV A=1", "LABEL made.by=test", "EXPOSE 80", "WORKDIR /w", "USER 5")
    data = gzip.compress(root_archive(file="hello"))
    made = import_root(engine, name, data, changes, tag="t", message="note", platform="linux/arm64")
    found = image(engine, f"{name}:t")
    assert (found["Id"], found["Comment"], found["Architecture"]) == (made, "note", "arm64")
    config = found["Config"]
    assert (config["Cmd"], config["Env"], config["WorkingDir"], config["User"]) == (["/file"], ["A=1"], "/w", "5")
    assert (config["Labels"], config["ExposedPorts"]) == ({"made.by": "test"}, {"80/tcp": {}})
    assert found["RootFS"]["Layers"] == [f"sha256:{hashlib.sha256(gzip.decompress(data)).hexdigest()}"]
    assert found["Metadata"]["LastTagTime"] > found["Created"]
    assert found["Size"] == 5
    assert engine.ok("GET", f"/images/{name}:t/history")[0]["Size"] == 5


def test_imports_that_fail(engine: Engine, name: str) -> None:
    assert engine.call("POST", "/images/create", b"no archive" * 99, fromSrc="-", repo=name)[0] == 400
    assert engine.call("POST", "/images/create", root_archive(a="1"), fromSrc="-", repo="BAD")[0] == 400
    status, answer = engine.call("POST", "/images/create", root_archive(a="1"), fromSrc="-", changes="FROM scratch")
    assert (status, answer["message"]) == (400, "FROM is not a valid change command")
    assert engine.call("POST", "/images/create", b"", fromSrc="http://example.invalid/x.tar")[0] == 501
    status, answer = engine.call("POST", "/images/create", None, fromImage=name, tag="1")
    assert (status, f"{name}:1 is not here" in answer["message"]) == (501, True)
    answer = engine.ok("POST", "/images/create", None, fromImage="atoll/base", tag="latest")
    assert answer == {"status": "Status: Image is up to date for atoll/base:latest"}


def test_a_commit(engine: Engine, name: str, made: list[str]) -> None:
    made.append(engine.create("sh", "-c", "echo x > /x", Env=["A=1"], Labels={"l": "1"}))
    engine.ok("POST", f"/containers/{made[0]}/start")
    engine.ok("POST", f"/containers/{made[0]}/wait")
    query = {"container": made[0], "repo": name, "comment": "why", "author": "who", "changes": "ENV B=2"}
    made_id = engine.ok("POST", "/commit", None, **query)["Id"]
    found, base = image(engine, name), image(engine, "atoll/base")
    assert (found["Id"], found["Parent"]) == (made_id, base["Id"])
    assert (found["Comment"], found["Author"]) == ("why", "who")
    assert found["RootFS"]["Layers"][:-1] == base["RootFS"]["Layers"]
    assert found["Config"]["Cmd"] == ["sh", "-c", "echo x > /x"]
    assert {"A=1", "B=2"} <= set(found["Config"]["Env"])
    assert found["Config"]["Labels"]["l"] == "1"
    assert found["Size"] == base["Size"] + 2
    first, second = engine.ok("GET", f"/images/{name}/history")[:2]
    assert (first["Id"], first["CreatedBy"], first["Comment"], first["Size"]) == (
        made_id, "sh -c echo x > /x", "why", 2,
    )  # fmt: skip
    assert second["Id"] == base["Id"]
    status, answer = engine.call("DELETE", f"/images/{base['Id']}", force=1)
    assert (status, "cannot be forced" in answer["message"]) == (409, True)


def test_a_commit_of_nothing_adds_no_layer(engine: Engine, name: str, made: list[str]) -> None:
    made.append(engine.running("sleep", "1000"))
    engine.ok("POST", "/commit", {"Cmd": ["other"], "Env": ["A=2"]}, container=made[0], repo=name, pause=0)
    found, base = image(engine, name), image(engine, "atoll/base")
    assert found["RootFS"] == base["RootFS"]
    assert found["Config"]["Cmd"] == ["other"]
    assert "A=2" in found["Config"]["Env"]
    assert engine.ok("GET", f"/images/{name}/history")[0]["Size"] == 0


def test_commits_that_fail(engine: Engine, made: list[str]) -> None:
    made.append(engine.create("true"))
    assert engine.call("POST", "/commit", None, container="nothing")[0] == 404
    assert engine.call("POST", "/commit", None)[0] == 400
    assert engine.call("POST", "/commit", None, container=made[0], repo="BAD")[0] == 400
    assert engine.call("POST", "/commit", None, container=made[0], changes="RUN x")[0] == 400


def test_removed_while_a_container_uses_it(engine: Engine, name: str, made: list[str]) -> None:
    """The layers outlive the image until the container goes, too."""
    import_root(engine, name, root_archive(**{"only-here": "1"}))
    layer = image(engine, name)["GraphDriver"]["Data"]["UpperDir"]
    made.append(engine.create("/only-here", Image=name))
    status, answer = engine.call("DELETE", f"/images/{name}")
    short = made[0][:12]
    assert (status, f"(must force) - container {short} is using" in answer["message"]) == (409, True)
    rows = engine.ok("DELETE", f"/images/{name}", force=1)
    assert [sorted(row) for row in rows] == [["Untagged"], ["Deleted"]]
    assert engine.ok("GET", f"/containers/{made[0]}/archive", path="/only-here")
    engine.ok("DELETE", f"/containers/{made.pop()}")
    assert not os.path.exists(layer)


def test_prune(engine: Engine, name: str) -> None:
    first = import_root(engine, name, root_archive(old="12345"), ("LABEL kept=no",))
    second = import_root(engine, name, root_archive(new="1"), ("LABEL kept=yes",))
    listed = engine.ok("GET", "/images/json", filters=json.dumps({"dangling": ["true"]}))
    assert first in [row["Id"] for row in listed]
    filters = {"label": ["kept=yes"]}
    assert engine.ok("POST", "/images/prune", None, filters=json.dumps(filters))["ImagesDeleted"] is None
    filters = {"label": ["kept=no"], "until": ["1h"]}
    assert engine.ok("POST", "/images/prune", None, filters=json.dumps(filters))["ImagesDeleted"] is None
    answer = engine.ok("POST", "/images/prune", None, filters=json.dumps({"label": ["kept=no"]}))
    assert {"Deleted": first} in answer["ImagesDeleted"]
    assert answer["SpaceReclaimed"] == 5
    filters = {"dangling": ["false"], "label": ["kept=yes"]}
    answer = engine.ok("POST", "/images/prune", None, filters=json.dumps(filters))
    assert answer["ImagesDeleted"][:2] == [{"Untagged": f"{name}:latest"}, {"Deleted": second}]
    assert engine.call("POST", "/images/prune", None, filters=json.dumps({"nonsense": ["1"]}))[0] == 400


def test_list_filters(engine: Engine, name: str) -> None:
    old = import_root(engine, f"{name}-old", root_archive(a="1"))
    engine.ok("POST", f"/images/{old}/tag", None, repo=f"{name}-old", tag="2")

    def ids(**filters: Any) -> set[str]:
        rows = engine.ok("GET", "/images/json", filters=json.dumps({k.rstrip("_"): v for k, v in filters.items()}))
        return {row["Id"] for row in rows}

    base = image(engine, "atoll/base")["Id"]
    assert ids(reference=[f"{name}*:2"]) == {old} == ids(reference=["images/*-old"], before=["atoll/base"]) | {old}
    assert old not in ids(reference=["*-old"])
    assert old in ids(since=["atoll/base"])
    assert base not in ids(since=["atoll/base"])
    assert base in ids(before=[old]) and old not in ids(before=[old])
    assert old not in ids(until=["1h"]) and base not in ids(dangling=["true"])
    rows = engine.ok("GET", "/images/json", **{"shared-size": 1})
    assert all(row["SharedSize"] >= 0 for row in rows)


def test_space(engine: Engine, name: str, made: list[str]) -> None:
    import_root(engine, name, root_archive(a="123"))
    made.append(engine.running("sh", "-c", "head -c 1000 /dev/zero > /big; sleep 1000", Volumes={"/v": {}}))
    engine.execute(made[0], "sh", "-c", "while ! [ -s /big ]; do :; done; head -c 77 /dev/zero > /v/file")
    usage = engine.ok("GET", "/system/df")
    row = next(row for row in usage["Containers"] if row["Id"] == made[0])
    base = next(row for row in usage["Images"] if "atoll/base:latest" in row["RepoTags"])
    assert row["SizeRw"] == 1000
    assert row["SizeRootFs"] == 1000 + base["Size"]
    volume = engine.ok("GET", f"/containers/{made[0]}/json")["Mounts"][0]["Name"]
    found = next(row for row in usage["Volumes"] if row["Name"] == volume)
    assert found["UsageData"] == {"RefCount": 1, "Size": 77}
    assert base["Containers"] >= 1
    assert usage["LayersSize"] >= base["Size"] + 3
    assert usage["BuildCache"] == []
    only = engine.ok("GET", "/system/df", type=["volume", "build-cache"])
    assert (only["Images"], only["Containers"], only["BuildCache"]) == (None, None, [])
    assert engine.call("GET", "/system/df", type="nonsense")[0] == 400
    sized = engine.ok("GET", "/containers/json", size=1)
    assert next(row for row in sized if row["Id"] == made[0])["SizeRw"] == 1000


def test_events(engine: Engine, name: str, made: list[str]) -> None:
    start = time.time()
    made.append(engine.create("true"))
    engine.ok("POST", "/commit", None, container=made[0], repo=name)
    data = engine.ok("GET", f"/images/{name}/get")
    engine.ok("DELETE", f"/images/{name}")
    engine.ok("POST", "/images/load", data)
    raw = engine.ok("GET", "/events", since=f"{start:.9f}", until=f"{time.time() + 0.1:.9f}")
    events = [json.loads(line) for line in raw.splitlines()]
    actions = [event["Action"] for event in events if event["Type"] == "image"]
    wanted = ["create", "tag", "save", "untag", "delete", "load"]
    assert [action for action in actions if action in wanted][: len(wanted)] == wanted
    assert "commit" in [event["Action"] for event in events if event["Type"] == "container"]
