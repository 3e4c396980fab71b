"""Small packages, programs and servers of our own making, so that no test needs a network or a real Debian."""

from __future__ import annotations

import hashlib
import http.server
import io
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atoll_images.kernel_modules import BOOT, RUNTIME
from atoll_images.lock import Lock, LockedPackage
from atoll_images.mirrors import Mirrors

DATE = "2026-01-02T03:04:05+00:00"
KERNEL_VERSION = "6.12.0-test"
ELF = b"\x7fELF\x02\x01\x01" + bytes(9)


class Recorder:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.tasks: list[str] = []
        self.bytes = 0

    def started(self, name: str, total_bytes: int) -> None:
        self.tasks.append(name)

    def advanced(self, n: int) -> None:
        self.bytes += n

    def finished(self) -> None:
        pass

    def note(self, message: str) -> None:
        self.notes.append(message)


def make_ar(members: Mapping[str, bytes]) -> bytes:
    """An ar archive."""
    out = b"!<arch>\n"
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


def make_tar(files: Mapping[str, bytes | str], modes: Mapping[str, int] | None = None) -> bytes:
    """A tar archive; a text is a symbolic link's target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.mode = (modes or {}).get(name, 0o644)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def make_deb(files: Mapping[str, bytes | str], modes: Mapping[str, int] | None = None) -> bytes:
    """A Debian package with an uncompressed data tar."""
    return make_ar({"debian-binary": b"2.0\n", "control.tar": make_tar({}), "data.tar": make_tar(files, modes)})


def make_elf(needed: tuple[str, ...] = (), machine: int = 62, interpreter: str = "") -> bytes:
    """A program with a dynamic section and nothing else; file offsets are its addresses."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
    offsets, position = [], 1
    for name in needed:
        offsets.append(position)
        position += len(name) + 1
    headers = 3 if interpreter else 2
    start = 64 + 56 * headers
    path = interpreter.encode() + b"\0" if interpreter else b""
    table = start + len(strings) + len(path)
    dynamic = b"".join(struct.pack("<qQ", 1, offset) for offset in offsets)
    dynamic += struct.pack("<qQqQ", 5, start, 0, 0)
    size = table + len(dynamic)
    out = ELF + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, headers, 0, 0, 0)
    out += struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, size, size, 4096)
    out += struct.pack("<IIQQQQQQ", 2, 4, table, table, table, len(dynamic), len(dynamic), 8)
    if interpreter:
        where = start + len(strings)
        out += struct.pack("<IIQQQQQQ", 3, 4, where, where, where, len(path), len(path), 1)
    return out + strings + path + dynamic


def make_module(depends: str = "") -> bytes:
    """A kernel module: an ELF object with a `.modinfo` section."""
    info = f"license=GPL\0depends={depends}\0".encode()
    names = b"\0.modinfo\0.shstrtab\0"
    table = 64 + len(info) + len(names)
    out = ELF + struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    out += info + names + bytes(64)
    out += struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, 64, len(info), 0, 0, 1, 0)
    return out + struct.pack("<IIQQQQIIQQ", 10, 3, 0, 0, 64 + len(info), len(names), 0, 0, 1, 0)


def make_busybox() -> bytes:
    """A file with busybox's table of applets."""
    names = ["[", "[[", "acpid", "busybox", "cat", *(f"x{i}" for i in range(60)), "sh", "true"]
    return make_elf() + b"\x01\x02" + "\0".join(names).encode() + b"\0\0rest"


def make_packages() -> dict[str, bytes]:
    """Just enough of the real packages for an image to be assembled."""
    modules = {name: make_module("crc_lib" if name == "erofs" else "") for name in (*BOOT, *RUNTIME)}
    base = f"./usr/lib/modules/{KERNEL_VERSION}"
    kernel: dict[str, bytes | str] = {
        f"./boot/vmlinuz-{KERNEL_VERSION}": bytes(0x202) + b"HdrS" + bytes(100),
        f"{base}/modules.builtin": b"kernel/fs/ext4/ext4.ko\n",
        f"{base}/kernel/lib/crc-lib.ko": make_module(),
    }
    kernel |= {f"{base}/kernel/drivers/{name}.ko": data for name, data in modules.items()}
    python: dict[str, bytes | str] = {
        "./usr/bin/python3.13": make_elf(("libc.so.6",), interpreter="/lib64/ld-linux-x86-64.so.2"),
        "./usr/lib/python3.13/os.py": b"import stat\n",
        "./usr/lib/python3.13/idlelib/big.py": b"x = 1\n",
        "./usr/share/doc/python/copyright": b"long",
    }
    libraries: dict[str, bytes | str] = {
        "./usr/lib/x86_64-linux-gnu/libc.so.6": make_elf(),
        "./usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2": make_elf(),
        "./usr/lib64/ld-linux-x86-64.so.2": "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "./usr/lib/x86_64-linux-gnu/libunused.so.1": make_elf(),
    }
    return {
        "busybox-static": make_deb({"./bin/busybox": make_busybox()}, {"./bin/busybox": 0o755}),
        "ca-certificates": make_deb({"./usr/share/ca-certificates/mozilla/a.crt": b"PEM a"}),
        "libc6": make_deb(libraries),
        f"linux-image-{KERNEL_VERSION}": make_deb(kernel),
        "python3.13-minimal": make_deb(python),
    }


def lock_packages(packages: Mapping[str, bytes], version: str = "1", date: str = DATE) -> Lock:
    """A lock that names these packages."""
    rows = tuple(
        LockedPackage(
            name, version, "debian", f"pool/main/{name}_{version}.deb", len(data), hashlib.sha256(data).hexdigest()
        )
        for name, data in sorted(packages.items())
    )
    return Lock(date, {"amd64": rows})


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by path; `broken` paths stop in the middle once."""

    daemon_threads = True
    block_on_close = True

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.broken: set[str] = set()
        self.requests: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put_packages(self, lock: Lock, packages: Mapping[str, bytes], archive: str = "/debian") -> None:
        for package in lock.of("amd64"):
            self.files[f"{archive}/{package.filename}"] = packages[package.name]

    def mirrors(self, snapshot: str = "") -> Mirrors:
        return Mirrors((f"{self.base}/debian",), (f"{self.base}/debian-security",), snapshot)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        body = data[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path in self.server.broken:
            self.server.broken.discard(self.path)
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback interface is not behind the machine's proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    """A web server on the loopback interface."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def recorder() -> Recorder:
    """Progress that remembers."""
    return Recorder()


@pytest.fixture
def make() -> SimpleNamespace:
    """The makers above; tests are imported one by one and cannot import this file."""
    return SimpleNamespace(
        ar=make_ar,
        deb=make_deb,
        elf=make_elf,
        module=make_module,
        tar=make_tar,
        packages=make_packages,
        lock=lock_packages,
        busybox=make_busybox,
        compiler=make_compiler,
    )


def make_compiler(fails: bool = False) -> Callable[[Any], bytes]:
    """A compiler that boots nothing."""

    def compile_bytecode(files: Any) -> bytes:
        for path in (files.kernel, files.initramfs, files.root):
            assert Path(path).stat().st_size
        if fails:
            return b"torn"
        return make_tar({"usr/lib/python3.13/os.pyc": b"bytecode of os"})

    return compile_bytecode
