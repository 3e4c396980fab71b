"""Images that do not fit: the disk of the machine, or its architecture."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .archives import foreign_architecture, foreign_program, write_archive
from .conftest import BASE, Home, kept, wait_for

RUN = ("run", "--rm", "--network", "none")
LAYER_BYTES = 48 << 20
FILL_ALL = """
fallocate -l $(df -k /var/lib/atoll | awk 'NR == 2 { print $4 * 1024 }') /var/lib/atoll/fill
dd if=/dev/zero of=/var/lib/atoll/fill2 bs=4k
"""
LEFT_KIB = 24 << 10
"""Less than the archive needs even once."""


@pytest.fixture(scope="module")
def tight(make_home: Callable[[], Home]) -> Iterator[Home]:
    """A machine with the smallest disk there is."""
    with kept(make_home()) as home:
        home("machine", "create", "--accel", "tcg", "--cpus", "1", "--memory", "512m", "--disk", "1g")
        home("machine", "start")
        yield home


@pytest.fixture
def big_archive(tmp_path: Path, name: str) -> Path:
    """An image with a layer that nothing makes smaller."""
    return write_archive(tmp_path / "big.tar", f"test/{name}:latest", {"big": os.urandom(LAYER_BYTES)})


@pytest.fixture
def full(tight: Home, name: str) -> Iterator[str]:
    """The disk is nearly full; gives the volume that fills it, whose removal makes room."""
    script = (
        f"free=$(df -k /data | awk 'NR == 2 {{ print $4 }}'); fallocate -l $(( (free - {LEFT_KIB}) * 1024 )) /data/fill"
    )
    tight(*RUN, "-v", f"{name}:/data", BASE, "sh", "-c", script)
    yield name
    empty(tight, name)


def empty(home: Home, volume: str) -> None:
    """Free what fills the disk; not in a container, since there may be no room for one."""
    home("machine", "ssh", "default", f"rm -f /var/lib/atoll/volumes/{volume}/_data/fill")


def used_kib(home: Home) -> int:
    """What is used of the machine's data disk."""
    return int(home.out("machine", "ssh", "default", "df -k /var/lib/atoll").splitlines()[1].split()[2])


def test_image_that_does_not_fit_leaves_nothing(tight: Home, full: str, name: str, big_archive: Path) -> None:
    tight("run", "-d", "--name", name, "--network", "none", BASE, "sleep", "1000")
    images, used = tight.out("images"), used_kib(tight)
    done = tight("load", "-i", str(big_archive), code=1)
    assert "no space left on device" in done.stderr.decode().lower()
    assert tight.out("images") == images
    assert used_kib(tight) < used + 4096
    assert tight.inspect(name)["State"]["Status"] == "running"
    assert tight.inside(name, "echo", "here") == "here"
    empty(tight, full)
    assert tight.out("load", "-q", "-i", str(big_archive)).startswith("Loaded image: test/")
    tight("rm", "-f", name)
    tight("rmi", f"test/{name}")
    assert used_kib(tight) < used


def test_containers_on_a_full_disk(tight: Home, full: str, name: str) -> None:
    """One that fills what is left fails by itself; the engine's own records have a reserve, so its end is known."""
    filler = tight("run", "--name", name, "--network", "none", BASE, "dd", "if=/dev/zero", "of=/fill", "bs=1M", code=1)
    assert "No space left on device" in filler.stderr.decode()
    assert tight.inspect(name)["State"]["ExitCode"] == 1
    other = tight(*RUN, BASE, "echo", "here", code=None)
    assert other.returncode == 0 or (other.returncode, b"no space left" in other.stderr) == (125, True), other
    assert "No space left on device" in tight("logs", name).stderr.decode()
    tight("rm", name)
    assert tight.out(*RUN, BASE, "echo", "here") == "here"


def test_end_is_known_though_it_cannot_be_written(tight: Home, name: str) -> None:
    """Only the machine's own root gets at the engine's reserve; then whoever waits for a container must not hang."""
    tight("run", "-d", "--name", name, "--network", "none", BASE, "sleep", "1000")
    tight("machine", "ssh", "default", FILL_ALL, code=1)
    state = f"cat /var/lib/atoll/containers/{tight.inspect(name)['Id']}/state.json"
    tight("kill", name)
    assert tight.out("wait", name) == "137"
    assert tight.inspect(name)["State"]["Status"] == "exited"
    assert tight("run", "--rm", BASE, "true", code=125).stderr.decode().strip().endswith("No space left on device")
    tight("machine", "ssh", "default", "rm /var/lib/atoll/fill*")
    tight.kill_agent()
    wait_for(lambda: json.loads(tight.out("machine", "ssh", "default", state))["exit_code"] == 137, "it to be written")
    assert tight.out("ps", "-a", "--format", "{{.Status}}", "-f", f"name={name}").startswith("Exited (137)")
    tight("rm", name)


# -- another architecture ---------------------------------------------------------------------


@pytest.fixture
def foreign_image(machine: Home, tmp_path: Path, name: str) -> Iterator[str]:
    """An image whose only program is for another architecture, and which says so."""
    image = f"test/{name}:latest"
    machine(
        "load",
        "-i",
        str(write_archive(tmp_path / "i.tar", image, {"program": foreign_program()}, foreign_architecture())),
    )
    yield image
    machine("rmi", "-f", image)


def test_foreign_image_is_warned_of_and_cannot_be_executed(machine: Home, foreign_image: str) -> None:
    done = machine(*RUN, foreign_image, code=126)
    text = done.stderr.decode()
    assert f"The requested image's platform (linux/{foreign_architecture()}) does not match" in text
    assert "exec format error" in text
    assert done.stdout == b""


def test_platform_that_is_asked_for_is_looked_at(machine: Home, foreign_image: str) -> None:
    done = machine(*RUN, "--platform", f"linux/{foreign_architecture()}", foreign_image, code=126)
    assert "exec format error" in done.stderr.decode()
    done = machine(*RUN, "--platform", f"linux/{foreign_architecture()}", BASE, "true", code=125)
    assert "does not match the specified platform" in done.stderr.decode()


def test_foreign_program_in_an_image_of_ours(machine: Home, tmp_path: Path, name: str) -> None:
    image = f"test/{name}:latest"
    machine("load", "-i", str(write_archive(tmp_path / "i.tar", image, {"program": foreign_program()})))
    done = machine(*RUN, image, code=126)
    assert "exec format error" in done.stderr.decode()
    assert "platform" not in done.stderr.decode()
    machine("rmi", image)


def test_damaged_archive_leaves_nothing(machine: Home, tmp_path: Path, name: str) -> None:
    archive = write_archive(tmp_path / "i.tar", f"test/{name}:latest", {"file": os.urandom(200_000)})
    data = bytearray(archive.read_bytes())
    data[100_000] ^= 1
    images = machine.out("images")
    done = machine("load", stdin=bytes(data), code=1)
    assert "does not have its digest" in done.stderr.decode()
    assert machine("load", stdin=bytes(data[:150_000]), code=1).stderr.startswith(b"error: not an image archive")
    assert machine.out("images") == images
