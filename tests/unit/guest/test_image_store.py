"""The store of images: whole or not at all, however an import ends."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

if sys.platform != "linux":
    pytest.skip("images are kept on Linux", allow_module_level=True)

from atoll_agent.api.errors import AgentError
from atoll_agent.images import layers as layers_module
from atoll_agent.images import store as store_module
from atoll_agent.images.removal import Removal, User
from atoll_agent.images.store import ImageStore


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path)


@pytest.fixture
def layers(make: SimpleNamespace) -> list[bytes]:
    return [make.pack(make.member(name, name.encode() * 1000)) for name in ("base", "middle", "top")]


def load(store: ImageStore, data: bytes) -> list[str]:
    return [f"Loaded image: {name}" if name else f"Loaded image ID: {i.id}" for i, name in store.load(io.BytesIO(data))]


def remove(store: ImageStore, name: str, *users: User, force: bool = False, prune: bool = True) -> list[dict[str, str]]:
    return Removal(store, list(users), force=force, prune=prune).remove(name)


def everything(root: Path) -> list[str]:
    """Every path on disk."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_import(make: SimpleNamespace, store: ImageStore, layers: list[bytes], tmp_path: Path) -> None:
    config = make.config(layers)
    assert load(store, make.docker_archive((config, layers, ["a:1", "b"]))) == [
        "Loaded image: a:1",
        "Loaded image: b:latest",
    ]
    image = store.get("a:1")
    assert image.id == make.digest(config) == store.get("b").id
    assert (image.size, image.raw, image.architecture) == (13000, config, "amd64")
    tops = [Path(directory) for directory in store.layer_directories(image)]
    assert [[path.name for path in top.iterdir()] for top in tops] == [["top"], ["middle"], ["base"]]
    assert list((tmp_path / "staging").iterdir()) == []


def test_import_of_a_compressed_oci_layout(make: SimpleNamespace, store: ImageStore, layers: list[bytes]) -> None:
    config = make.config(layers)
    packed = gzip.compress(make.oci_archive(config, [gzip.compress(layer) for layer in layers]))
    assert load(store, packed) == [f"Loaded image ID: {make.digest(config)}"]
    assert store.get(make.digest(config)[7:19]).size == 13000
    assert store.references_of(make.digest(config)) == []


def test_importing_twice_changes_nothing(
    make: SimpleNamespace, store: ImageStore, layers: list[bytes], tmp_path: Path
) -> None:
    data = make.docker_archive((make.config(layers), layers, ["a"]))
    first = load(store, data)
    before = everything(tmp_path)
    assert load(store, data) == first
    assert everything(tmp_path) == before
    assert len(store.list_images()) == 1


def test_what_was_imported_is_there_after_a_restart(
    make: SimpleNamespace, store: ImageStore, layers: list[bytes], tmp_path: Path
) -> None:
    load(store, make.docker_archive((make.config(layers), layers, ["a", "b:2"])))
    (tmp_path / "staging/leftover").mkdir()
    again = ImageStore(tmp_path)
    assert [(image.id, image.size) for image in again.list_images()] == [(store.get("a").id, 13000)]
    assert again.references_of(again.get("a").id) == ["a:latest", "b:2"]
    assert list((tmp_path / "staging").iterdir()) == []


def test_what_was_damaged_on_disk_is_not_offered(
    make: SimpleNamespace, store: ImageStore, layers: list[bytes], tmp_path: Path
) -> None:
    config = make.config(layers)
    load(store, make.docker_archive((config, layers, ["a"])))
    path = tmp_path / "images" / f"{make.digest(config)[7:]}.json"
    path.write_bytes(config + b" ")
    again = ImageStore(tmp_path)
    assert again.find("a") is None
    assert again.list_images() == []
    path.write_bytes(config)
    (tmp_path / "layers" / make.digest(layers[0])[7:]).rename(tmp_path / "elsewhere")
    assert ImageStore(tmp_path).list_images() == []


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"5", b'{"a:latest": {}, "b:latest": 5}'])
def test_names_that_were_damaged_on_disk_are_forgotten_and_the_images_stay(
    make: SimpleNamespace, store: ImageStore, layers: list[bytes], tmp_path: Path, text: bytes
) -> None:
    load(store, make.docker_archive((make.config(layers), layers, ["a"])))
    (tmp_path / "images/references.json").write_bytes(text)
    again = ImageStore(tmp_path)
    assert [again.references_of(image.id) for image in again.list_images()] == [[]]


# -- imports that fail -----------------------------------------------------------------------


def with_top(make: SimpleNamespace, layers: list[bytes], top: bytes, **config: object) -> bytes:
    """An archive that announces the layers and has another topmost one."""
    data: bytes = make.docker_archive((make.config(layers, **config), [*layers[:-1], top], ["x"]))
    return data


def not_packed(layer: bytes, make: SimpleNamespace) -> bytes:
    return b"no tar at all" * 100


def tampered(layer: bytes, make: SimpleNamespace) -> bytes:
    return layer.replace(b"toptop", b"TOPtop", 1)


def truncated(layer: bytes, make: SimpleNamespace) -> bytes:
    return layer[: len(layer) // 2]


def damaged_gzip(layer: bytes, make: SimpleNamespace) -> bytes:
    packed = bytearray(gzip.compress(layer * 20, 1))
    packed[len(packed) // 2 :] = bytes(len(packed) - len(packed) // 2)
    return bytes(packed)


def wrong_gzip_sum(layer: bytes, make: SimpleNamespace) -> bytes:
    packed = gzip.compress(layer)
    return packed[:-8] + bytes(4) + packed[-4:]


def truncated_gzip(layer: bytes, make: SimpleNamespace) -> bytes:
    return gzip.compress(layer)[:-20]


def escaping(layer: bytes, make: SimpleNamespace) -> bytes:
    data: bytes = make.pack(make.member("../../../../escaped", b"1"))
    return data


@pytest.mark.parametrize(
    "spoil", [not_packed, tampered, truncated, damaged_gzip, wrong_gzip_sum, truncated_gzip, escaping]
)
def test_of_a_spoiled_image_nothing_stays(
    make: SimpleNamespace,
    store: ImageStore,
    layers: list[bytes],
    tmp_path: Path,
    spoil: Callable[[bytes, SimpleNamespace], bytes],
) -> None:
    load(store, make.docker_archive((make.config(layers[:1]), layers[:1], ["good"])))
    before = everything(tmp_path)
    with pytest.raises(AgentError) as caught:
        load(store, with_top(make, layers, spoil(layers[-1], make)))
    assert caught.value.status == 400
    assert everything(tmp_path) == before
    assert [image.id for image in ImageStore(tmp_path).list_images()] == [store.get("good").id]


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"rootfs": 5}',
        b'{"rootfs": {}}',
        b'{"rootfs": {"diff_ids": 5}}',
        b'{"rootfs": {"diff_ids": [5]}}',
        b'{"rootfs": {"diff_ids": ["sha256:../../../../etc"]}}',
        b'{"rootfs": {"diff_ids": ["sha256:' + b"A" * 64 + b'"]}}',
        b'{"rootfs": {"diff_ids": ["md5:0"]}}',
        b'{"rootfs": {"diff_ids": []}, "config": [1]}',
        b'{"rootfs": {"diff_ids": []}, "config": "x"}',
        b'{"rootfs": {"diff_ids": []}, "config": {"Env": 5}}',
        b'{"rootfs": {"diff_ids": []}, "config": {"Env": [5]}}',
        b'{"rootfs": {"diff_ids": []}, "config": {"Env": ["A=\\u0000"]}}',
        b'{"rootfs": {"diff_ids": []}, "config": {"Cmd": "sh"}}',
        b'{"rootfs": {"diff_ids": []}, "config": {"Entrypoint": [{}]}}',
        b'{"rootfs": {"diff_ids": []}, "config": {"Labels": ["a"]}}',
        b'{"rootfs": {"diff_ids": []}, "config": {"Labels": {"a": 5}}}',
        b'{"rootfs": {"diff_ids": []}, "config": {"Volumes": ["/a"]}}',
        b'{"rootfs": {"diff_ids": []}, "config": {"User": 5}}',
        b'{"rootfs": {"diff_ids": []}, "history": 5}',
        b'{"rootfs": {"diff_ids": []}, "history": [5]}',
    ],
)
def test_malformed_configurations(make: SimpleNamespace, store: ImageStore, tmp_path: Path, config: bytes) -> None:
    before = everything(tmp_path)
    with pytest.raises(AgentError, match="image configuration is malformed") as caught:
        load(store, make.docker_archive((config, [], ["x"])))
    assert caught.value.status == 400
    assert everything(tmp_path) == before


@pytest.mark.parametrize(("given", "named"), [(0, 1), (2, 1), (3, 2), (2, 3)])
def test_another_number_of_layers_than_announced(
    make: SimpleNamespace, store: ImageStore, layers: list[bytes], tmp_path: Path, given: int, named: int
) -> None:
    before = everything(tmp_path)
    with pytest.raises(AgentError, match=f"image has {given} layers but its configuration names {named}"):
        load(store, make.docker_archive((make.config(layers[:named]), layers[:given], ["x"])))
    assert everything(tmp_path) == before


def test_a_name_that_is_none_leaves_no_image(
    make: SimpleNamespace, store: ImageStore, layers: list[bytes], tmp_path: Path
) -> None:
    before = everything(tmp_path)
    with pytest.raises(AgentError, match="invalid reference format"):
        load(store, make.docker_archive((make.config(layers), layers, ["Not A Name"])))
    assert everything(tmp_path) == before


def test_images_before_a_spoiled_one_stay(
    make: SimpleNamespace, store: ImageStore, layers: list[bytes], tmp_path: Path
) -> None:
    good, bad = make.config(layers[:2]), make.config(layers)
    told = []
    with pytest.raises(AgentError):
        for _, name in store.load(
            io.BytesIO(make.docker_archive((good, layers[:2], ["good"]), (bad, [*layers[:2], b"x" * 600], ["bad"])))
        ):
            told.append(name)
    assert told == ["good:latest"]
    assert [store.find("good") is not None, store.find("bad") is None] == [True, True]
    assert len(list((tmp_path / "layers").iterdir())) == 2


@pytest.mark.parametrize("call", ["extract", "sync_file_system", "sync_directory", "write_atomically"])
def test_a_full_disk_leaves_nothing(
    make: SimpleNamespace, store: ImageStore, layers: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:  # fmt: skip
    module = layers_module if call == "extract" else store_module
    real, calls = getattr(module, call), []

    def full_at_the_end(*arguments: object, **more: object) -> object:
        calls.append(arguments)
        if call != "extract" or len(calls) == len(layers):
            raise OSError(28, "No space left on device")
        return real(*arguments, **more)

    before = everything(tmp_path)
    monkeypatch.setattr(module, call, full_at_the_end)
    with pytest.raises(OSError, match="No space left"):
        load(store, make.docker_archive((make.config(layers), layers, ["x"])))
    assert everything(tmp_path) == before
    assert store.list_images() == []
    monkeypatch.setattr(module, call, real)
    assert load(store, make.docker_archive((make.config(layers), layers, ["x"]))) == ["Loaded image: x:latest"]


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(
    make: SimpleNamespace, store: ImageStore, layers: list[bytes], tmp_path: Path
) -> None:
    data = make.docker_archive((make.config(layers), layers, ["a"]), (make.config(layers[:1]), layers[:1], ["b"]))
    lines = store.load(io.BytesIO(data))
    assert next(lines)[1] == "a:latest"
    lines.close()  # type: ignore[attr-defined]
    assert list((tmp_path / "staging").iterdir()) == []
    assert store.find("b") is None


# -- names and removal -----------------------------------------------------------------------


@pytest.fixture
def two(make: SimpleNamespace, store: ImageStore, layers: list[bytes]) -> tuple[str, str]:
    """Images `a` and `b` which share their lowest layer; their ids."""
    first, second = make.config(layers[:2], created="2024-01-01T00:00:00Z"), make.config([layers[0], layers[2]])
    load(store, make.docker_archive((first, layers[:2], ["a"]), (second, [layers[0], layers[2]], ["b"])))
    return make.digest(first), make.digest(second)


def test_finding(store: ImageStore, two: tuple[str, str]) -> None:
    first, _ = two
    for name in ("a", "a:latest", "docker.io/library/a", first, first[7:], first[7:19], first[:19]):
        assert store.get(name).id == first
    assert store.find("nothing") is None
    assert store.find("0" * 12) is None
    with pytest.raises(AgentError, match="No such image: nothing:latest") as caught:
        store.get("nothing")
    assert caught.value.status == 404
    with pytest.raises(AgentError, match="invalid reference format"):
        store.get("Not A Name")


def test_an_ambiguous_id(make: SimpleNamespace, store: ImageStore) -> None:
    """Of seventeen images two have the same first digit."""
    images = [(make.config([], created=str(n)), [], []) for n in range(17)]
    load(store, make.docker_archive(*images))
    digits = [image.id[7] for image in store.list_images()]
    double = next(digit for digit in digits if digits.count(digit) > 1)
    with pytest.raises(AgentError, match=f"ambiguous image id: {double}") as caught:
        store.find(double)
    assert caught.value.status == 400


def test_tagging(store: ImageStore, two: tuple[str, str], tmp_path: Path) -> None:
    first, second = two
    store.tag("a", "host:5000/new", "1")
    store.tag(second, "a", "")
    assert store.references_of(first) == ["host:5000/new:1"]
    assert store.references_of(second) == ["a:latest", "b:latest"]
    assert ImageStore(tmp_path).get("a").id == second
    for repository, tag in (("Bad", ""), ("a", "bad tag"), (f"a@{first}", ""), ("", "")):
        with pytest.raises(AgentError) as caught:
            store.tag("a", repository, tag)
        assert caught.value.status == 400
    with pytest.raises(AgentError, match="No such image"):
        store.tag("nothing", "c", "")


def test_removing_keeps_layers_that_others_use(
    make: SimpleNamespace, store: ImageStore, layers: list[bytes], two: tuple[str, str], tmp_path: Path
) -> None:
    first, second = two
    rows = remove(store, "a")
    assert rows == [{"Untagged": "a:latest"}, {"Deleted": first}, {"Deleted": make.digest(layers[1])}]
    assert Path(store.layer_directories(store.get("b"))[-1], "base").exists()
    rows = remove(store, second[7:19])
    assert [row.get("Deleted") for row in rows[1:]] == [second, make.digest(layers[2]), make.digest(layers[0])]
    assert list((tmp_path / "layers").iterdir()) == []
    assert everything(tmp_path / "images") == ["references.json"]


def test_with_another_name_left_only_the_name_goes(store: ImageStore, two: tuple[str, str]) -> None:
    store.tag("a", "other", "")
    with pytest.raises(AgentError, match="must be forced") as caught:
        remove(store, two[0])
    assert caught.value.status == 409
    assert remove(store, "a", User("c1", two[0], False)) == [{"Untagged": "a:latest"}]
    assert store.get("other").id == two[0]
    assert len(remove(store, two[0], force=True)) == 3


STOPPED, RUNNING = (False, True)


@pytest.mark.parametrize(
    ("by_name", "force", "running", "words"),
    [
        (True, False, STOPPED, r'unable to remove repository reference "a" \(must force\) - container c1'),
        (True, False, RUNNING, r'unable to remove repository reference "a" \(must force\) - container c1'),
        (False, False, STOPPED, r"\(must be forced\) - image is being used by stopped container c1"),
        (False, False, RUNNING, r"\(cannot be forced\) - image is being used by running container c1"),
        (False, True, RUNNING, r"\(cannot be forced\) - image is being used by running container c1"),
    ],
)
def test_an_image_in_use_stays(
    store: ImageStore, two: tuple[str, str], by_name: bool, force: bool, running: bool, words: str
) -> None:
    with pytest.raises(AgentError, match=words) as caught:
        remove(store, "a" if by_name else two[0], User("c1", two[0], running), force=force)
    assert caught.value.status == 409
    assert store.references_of(two[0]) == ["a:latest"]


def test_a_name_in_use_can_be_forced_away(store: ImageStore, two: tuple[str, str]) -> None:
    assert remove(store, "a", User("c1", two[0], True), force=True) == [{"Untagged": "a:latest"}]
    assert store.get(two[0]).layers


def test_the_layers_of_a_container_outlive_its_image(
    make: SimpleNamespace, store: ImageStore, layers: list[bytes], two: tuple[str, str]
) -> None:
    held = store.layer_directories(store.get("a"))
    store.held = lambda: set(held)
    rows = remove(store, "a", User("c1", two[0], False), force=True)
    assert rows == [{"Untagged": "a:latest"}, {"Deleted": two[0]}]
    assert all(Path(directory).exists() for directory in held)
    store.held = set
    store.release(held)
    assert [Path(directory).exists() for directory in held] == [False, True]


def test_an_image_with_children_stays_and_goes_with_the_last(
    make: SimpleNamespace, store: ImageStore, layers: list[bytes], two: tuple[str, str], tmp_path: Path
) -> None:
    parent = two[0]
    child = json.dumps({**store.get(parent).config, "comment": "child"}).encode()
    with store.layers.staging() as staging:
        made = store.create(child, [], staging, parent=parent)
    assert ImageStore(tmp_path).children_of(parent) == [made.id]
    store.tag(made.id, "child", "")
    with pytest.raises(AgentError, match=r"cannot be forced.*dependent child images"):
        remove(store, parent, force=True)
    store.untag("a:latest")
    rows = remove(store, "child", prune=False)
    assert rows == [{"Untagged": "child:latest"}, {"Deleted": made.id}]
    with store.layers.staging() as staging:
        store.create(child, [], staging, parent=parent)
    rows = remove(store, made.id)
    assert [row["Deleted"] for row in rows][:2] == [made.id, parent]


def test_digests_go_with_the_last_tag_of_their_repository(store: ImageStore, two: tuple[str, str]) -> None:
    digest = f"a@sha256:{'1' * 64}"
    store._references[digest] = two[0]
    assert store.get(f"a:whatever@{digest[2:]}").id == two[0]
    assert (store.tags_of(two[0]), store.digests_of(two[0])) == (["a:latest"], [digest])
    rows = remove(store, "a")
    assert rows[:3] == [{"Untagged": "a:latest"}, {"Untagged": digest}, {"Deleted": two[0]}]


def test_a_layer_that_is_there_twice_is_stacked_once(
    make: SimpleNamespace, store: ImageStore, layers: list[bytes]
) -> None:
    base, middle, _ = layers
    load(store, make.docker_archive((make.config([base, middle, base]), [base, middle, base], ["a"])))
    image = store.get("a")
    tops = [[path.name for path in Path(top).iterdir()] for top in store.layer_directories(image)]
    assert tops == [["base"], ["middle"]]
    assert [row.get("Deleted") for row in remove(store, "a")][1:].count(make.digest(base)) == 1


def test_an_image_without_layers_has_an_empty_root(make: SimpleNamespace, store: ImageStore, tmp_path: Path) -> None:
    config = make.config([], architecture="arm64")
    load(store, make.docker_archive((config, [], ["empty"])))
    assert store.layer_directories(store.get("empty")) == [str(tmp_path / "empty")]
    assert json.loads(store.get("empty").raw)["architecture"] == store.get("empty").architecture == "arm64"
