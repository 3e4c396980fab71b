"""Runs inside the guest: compile Python sources and write the result to the bytecode port as a tar archive.

Bytecode belongs to one version of Python, and the host's is another: so the guest's own compiles, in a machine booted
for nothing else. All in one process and in sorted order, so that marshal's output, which depends on which strings are
shared, is the same every time. Files are named by their full path in the guest, without the leading slash.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import tarfile
from pathlib import Path
from typing import IO, Any

# What py_compile itself calls; calling it here saves that module's file handling.
_external: Any = importlib.import_module("importlib._bootstrap_external")
_imp: Any = importlib.import_module("_imp")

DIRECTORIES = ("/usr/lib/python3.13", "/run/atoll/agent")
PORT = "atoll.bytecode"
PORTS = Path("/sys/class/virtio-ports")


def find_sources(top: Path) -> list[Path]:
    """All Python files below a directory, sorted."""
    return sorted(top.rglob("*.py"), key=str)


def compile_file(path: Path) -> bytes:
    """Bytecode in the form of PEP 552 that is never checked against a source."""
    source = path.read_bytes()
    code = compile(source, str(path), "exec", dont_inherit=True, optimize=0)
    # The hash is not compared with anything: its key, py_compile's magic number, only has to be the same every time.
    digest = _imp.source_hash(int.from_bytes(_external.MAGIC_NUMBER, "little"), source)
    return bytes(_external._code_to_hash_pyc(code, digest, False))


def open_port() -> IO[bytes]:
    """The port's device, found by its name: there is no udev that would make a link."""
    for port in sorted(PORTS.iterdir()):
        if (port / "name").read_text().strip() == PORT:
            return Path("/dev", port.name).open("wb", buffering=1 << 16)
    raise SystemExit(f"no virtio port {PORT}")


def main() -> None:
    """Compile everything; a file that does not compile ends it, so that nothing half-done is taken for whole."""
    with open_port() as port, tarfile.open(fileobj=port, mode="w|", format=tarfile.USTAR_FORMAT) as archive:
        for top in DIRECTORIES:
            for path in find_sources(Path(top)):
                data = compile_file(path)
                member = tarfile.TarInfo(str(path)[1:] + "c")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    try:
        main()
    except BaseException as error:
        print(f"atoll-compile: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os.execv("/usr/bin/busybox", ["busybox", "poweroff", "-f"])
