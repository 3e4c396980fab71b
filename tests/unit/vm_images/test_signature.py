"""Signatures, with keys made for the test; each verifier is tried where it is installed."""

from __future__ import annotations

import contextlib
import hashlib
import lzma
import shutil
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from atoll_images import signature
from atoll_images.errors import ImageError
from atoll_images.indexes import parse_release, resolve_lock
from atoll_images.lock import Lock
from atoll_images.signature import verify_inrelease

sequoia: Any = pytest.importorskip("pysequoia", reason="the lock extra is not installed")

INDEX = """\
Package: {name}
Version: 1
Filename: pool/main/x/{name}_1_amd64.deb
Size: {size}
SHA256: {sha256}
"""


class Key:
    """A key made for the test."""

    def __init__(self, user: str) -> None:
        self.secret = sequoia.Tsk.generate(user)
        self.certificate = self.secret.extract_certificate()

    def __bytes__(self) -> bytes:
        return bytes(self.certificate)

    def sign(self, text: str) -> bytes:
        """Sign as InRelease is: in the clear."""
        return bytes(sequoia.sign(self.secret.signer(), text.encode(), mode=sequoia.SignatureMode.CLEAR))


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> Key:
    """A key that our source pins."""
    made = Key("Archive <archive@example.org>")
    monkeypatch.setattr(signature, "FINGERPRINTS", frozenset({made.certificate.fingerprint.upper()}))
    return made


@pytest.fixture(params=["pysequoia", "gpgv"])
def verifier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which program checks."""
    name: str = request.param
    if name == "gpgv":
        if shutil.which("gpgv") is None:
            pytest.skip("no gpgv")
        monkeypatch.setitem(sys.modules, "pysequoia", None)
    return name


def test_good(key: Key, verifier: str) -> None:
    signed = key.sign("Codename: trixie\n")
    assert verify_inrelease(signed, [bytes(key)], "InRelease").rstrip() == b"Codename: trixie"


def test_tampered(key: Key, verifier: str) -> None:
    signed = key.sign("Codename: trixie\n").replace(b"trixie", b"evilly")
    with pytest.raises(ImageError):
        verify_inrelease(signed, [bytes(key)], "InRelease")


def test_signed_by_another_key(key: Key, verifier: str) -> None:
    other = Key("Other <other@example.org>")
    with pytest.raises(ImageError):
        verify_inrelease(other.sign("text\n"), [bytes(key), bytes(other)], "InRelease")


def test_what_stands_beside_the_signed_text_is_left_out(key: Key, verifier: str) -> None:
    signed = b"Codename: evil\n\n" + key.sign("Codename: trixie\n") + b"\nCodename: evil\n"
    with contextlib.suppress(ImageError):  # refusing it is as good
        assert b"evil" not in verify_inrelease(signed, [bytes(key)], "InRelease")


def test_unsigned(key: Key, verifier: str) -> None:
    with pytest.raises(ImageError):
        verify_inrelease(b"Codename: trixie\n", [bytes(key)], "InRelease")


def test_nothing_to_verify_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysequoia", None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ImageError, match="nothing here can check") as caught:
        verify_inrelease(b"", [], "InRelease")
    assert "pip install" in caught.value.hint


class Archive:
    """A signed archive with one package and the keyring."""

    def __init__(self, server: Any, make: SimpleNamespace, key: Key) -> None:
        self.server, self.key = server, key
        keyring = make.deb({"./usr/share/keyrings/debian-archive-trixie-stable.gpg": bytes(key)})
        self.packages = {"debian-archive-keyring": keyring, "linux-image-6.12.1+deb13-cloud-amd64": b"kernel"}
        rows = [
            INDEX.format(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in self.packages.items()
        ]
        for name, data in self.packages.items():
            server.files[f"/debian/pool/main/x/{name}_1_amd64.deb"] = data
        self.index = lzma.compress("\n".join(rows).encode())
        self.put(self.index)

    def put(self, index: bytes, codename: str = "trixie", named: bytes | None = None) -> None:
        named = index if named is None else named
        release = f"Codename: {codename}\nDate: Sat, 21 Nov 2026 09:15:44 UTC\nSHA256:\n"
        release += f" {hashlib.sha256(named).hexdigest()} {len(named)} main/binary-amd64/Packages.xz\n"
        self.server.files["/debian/dists/trixie/InRelease"] = self.key.sign(release)
        self.server.files["/debian/dists/trixie/main/binary-amd64/Packages.xz"] = index

    def lock(self, recorder: Any) -> Lock:
        return resolve_lock(self.server.mirrors(), recorder, ["amd64"])


@pytest.fixture
def archive(server: Any, make: SimpleNamespace, key: Key, monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setattr("atoll_images.indexes.PACKAGES", ())
    return Archive(server, make, key)


def test_locks_against_signed_indexes(archive: Archive, recorder: Any) -> None:
    lock = archive.lock(recorder)
    assert lock.date == "2026-11-21T09:15:44+00:00"
    assert [package.name for package in lock.of("amd64")] == ["linux-image-6.12.1+deb13-cloud-amd64"]
    assert [note.partition(":")[0] for note in recorder.notes] == [
        "mirror has no trixie-updates", "mirror has no trixie-security",
    ]  # fmt: skip


def test_an_index_that_was_not_signed(archive: Archive, recorder: Any) -> None:
    archive.put(lzma.compress(lzma.decompress(archive.index) + b"\n"), named=archive.index)
    with pytest.raises(ImageError, match="not the one that was signed"):
        archive.lock(recorder)


def test_another_suite_passed_off_as_ours(archive: Archive, recorder: Any) -> None:
    archive.put(archive.index, codename="bookworm")
    with pytest.raises(ImageError, match="it is of bookworm"):
        archive.lock(recorder)


def test_damaged_release() -> None:
    with pytest.raises(ImageError, match="damaged"):
        parse_release("Codename: trixie\n", "trixie")
