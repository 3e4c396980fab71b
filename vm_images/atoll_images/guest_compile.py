"""Runs inside the guest: compile Python sources and write the result to the bytecode port as a tar archive.

Bytecode belongs to one version of Python, and the host's is another: so the guest's own compiles, in a machine booted
for nothing else. All in one process and in sorted order, so that marshal's output, which depends on which strings are
shared, is the same every time. Files are named by their full path in the guest, without the leading slash.
"""

import importlib._bootstrap_external as external
import io
import os
import sys
import tarfile
from _imp import source_hash

DIRECTORIES = ("/usr/lib/python3.13", "/run/atoll/agent")
PORT = "atoll.bytecode"
PORTS = "/sys/class/virtio-ports"


def find_sources(top):
    """All Python files below a directory, sorted."""
    found = []
    for directory, directories, files in os.walk(top):
        directories.sort()
        found += [os.path.join(directory, name) for name in files if name.endswith(".py")]
    return sorted(found)


def compile_file(path):
    """Bytecode in the form of PEP 552 that is never checked against a source."""
    with open(path, "rb") as stream:
        source = stream.read()
    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    return bytes(external._code_to_hash_pyc(code, source_hash(external._RAW_MAGIC_NUMBER, source), False))


def open_port():
    """The port's device, found by its name: there is no udev that would make a link."""
    for port in sorted(os.listdir(PORTS)):
        with open(os.path.join(PORTS, port, "name")) as stream:
            if stream.read().strip() == PORT:
                return open("/dev/" + port, "wb", buffering=1 << 16)
    raise SystemExit(f"no virtio port {PORT}")


def main():
    """Compile everything; a file that does not compile ends it, so that nothing half-done is taken for whole."""
    with open_port() as port, tarfile.open(fileobj=port, mode="w|", format=tarfile.USTAR_FORMAT) as archive:
        for top in DIRECTORIES:
            for path in find_sources(top):
                data = compile_file(path)
                member = tarfile.TarInfo(path[1:] + "c")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


try:
    main()
except BaseException as error:
    print(f"atoll-compile: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
finally:
    os.sync()
    os.execv("/usr/bin/busybox", ["busybox", "poweroff", "-f"])
