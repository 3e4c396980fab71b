"""Whether Debian signed it.

Our source pins the full fingerprints of trixie's keys. The certificates themselves are taken from the
debian-archive-keyring package of the very mirror that is being checked: a certificate counts only if its fingerprint
is pinned, so it does not matter where it came from.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from .deb import unpack
from .errors import ImageError
from .tree import Tree

FINGERPRINTS = frozenset({
    "04B54C3CDCA79751B16BC6B5225629DF75B188BD",  # Debian Archive Automatic Signing Key (13/trixie)
    "5E04A1E3223A19A20706E20F9904613D4CCE68C6",  # Debian Security Archive Automatic Signing Key (13/trixie)
    "41587F7DB8C774BCCF131416762F67A0B2C39DE4",  # Debian Stable Release Key (13/trixie)
})  # fmt: skip

KEYRING_PACKAGE = "debian-archive-keyring"
_HINT = "pip install 'atoll[lock]', or install gpgv"


def read_certificates(package: bytes) -> list[bytes]:
    """Take the certificates out of the keyring package: binary OpenPGP, one file each."""
    tree = Tree()
    unpack(package, tree, KEYRING_PACKAGE, lambda path: path.startswith("usr/share/keyrings/"))
    found = [node.data for path, node in tree.files() if "-trixie-" in path and path.endswith((".gpg", ".pgp"))]
    if not found:
        raise ImageError(f"{KEYRING_PACKAGE} holds no keys of trixie")
    return found


def verify_inrelease(signed: bytes, certificates: list[bytes], what: str) -> bytes:
    """Return what was signed, and only that, if a pinned key signed it.

    Raises:
        ImageError: no good signature by a pinned key, or nothing to verify it with.
    """
    try:
        sequoia = importlib.import_module("pysequoia")
    except ImportError:
        sequoia = None
    if sequoia is not None:
        return _verify_with_sequoia(sequoia, signed, certificates, what)
    program = shutil.which("gpgv")
    if program is None:
        raise ImageError(f"{what}: nothing here can check its signature", _HINT)
    return _verify_with_gpgv(program, signed, certificates, what)


def _verify_with_sequoia(sequoia: Any, signed: bytes, certificates: list[bytes], what: str) -> bytes:
    pinned = [
        certificate
        for data in certificates
        for certificate in sequoia.Cert.split_bytes(data)
        if certificate.fingerprint.upper() in FINGERPRINTS
    ]
    try:
        result = sequoia.verify(signed, store=lambda ids: pinned)
    except Exception as error:  # the library raises bare exceptions of several kinds
        raise ImageError(f"{what}: bad signature: {error}", "the mirror may be broken or hostile") from error
    if not any(signature.certificate.upper() in FINGERPRINTS for signature in result.valid_sigs):
        raise ImageError(f"{what}: not signed by a key of Debian trixie", "the mirror may be broken or hostile")
    return bytes(result.bytes)


def _verify_with_gpgv(program: str, signed: bytes, certificates: list[bytes], what: str) -> bytes:
    """gpgv's status lines are its interface (doc/DETAILS): VALIDSIG ends with the primary key's fingerprint."""
    with tempfile.TemporaryDirectory(prefix="atoll-gpgv-") as name:
        directory = Path(name)
        (directory / "keys.gpg").write_bytes(b"".join(certificates))
        (directory / "InRelease").write_bytes(signed)
        command = [program, "--homedir", name, "--keyring", str(directory / "keys.gpg"), "--status-fd", "1"]
        command += ["--output", str(directory / "Release"), str(directory / "InRelease")]
        done = subprocess.run(command, capture_output=True, check=False)
        # Bytes, and newlines only: a signature's notations are printed too, and are whatever the signer put there.
        lines = [line.split(b" ") for line in done.stdout.split(b"\n") if line.startswith(b"[GNUPG:] ")]
        signers = {line[-1].decode("ascii", "replace") for line in lines if line[1] == b"VALIDSIG"}
        if not signers & FINGERPRINTS or any(line[1] == b"BADSIG" for line in lines):
            raise ImageError(f"{what}: not signed by a key of Debian trixie", "the mirror may be broken or hostile")
        return (directory / "Release").read_bytes()
