"""The native driver: supervisor and agent straight on a Linux host, as root, without a machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import uuid
from pathlib import Path

from .agent import Settings, main
from .linux import mounts, processes
from .runtime.service import Service
from .server.listen import listen_unix

SEALED = "ATOLL_SEALED_INTERPRETER"


def run_native(data_root: Path, socket_path: Path, bridge: str) -> int:
    """Serve until told to shut down (POST /atoll/shutdown or SIGTERM).

    Arguments:
        data_root: where everything is kept.
        socket_path: where the API answers; exists once it does.
        bridge: name of the bridge for containers.
    """
    if os.geteuid() != 0:
        print("error: the native driver needs root: it makes namespaces, mounts and bridges", file=sys.stderr)
        return 1
    _seal_interpreter()
    run_directory = data_root / "run"
    shutil.rmtree(run_directory, ignore_errors=True)
    run_directory.mkdir(parents=True, mode=0o700)
    settings = Settings(
        data_root=data_root,
        run_directory=run_directory,
        socket_path=socket_path,
        listeners=(listen_unix(socket_path),),
        boot=str(uuid.uuid4()),
        bridge=bridge,
    )

    def at_end() -> None:
        with contextlib.suppress(FileNotFoundError):
            socket_path.unlink()

    Service(settings.supervisor_socket, lambda: main(settings), at_end, settings.inherited).run()
    return 0


def _seal_interpreter() -> None:
    """Run this program from a read-only bind mount of the interpreter, in a mount namespace of its own.

    A container whose program is /proc/self/exe would else hold a writable way to the host's Python (CVE-2019-5736).
    """
    if os.environ.get(SEALED):
        del os.environ[SEALED]
        return
    processes.unshare(processes.CLONE_NEWNS)
    mounts.set_propagation("/", mounts.MS_REC | mounts.MS_SLAVE)
    program = os.path.realpath(sys.executable)
    target = os.open(program, os.O_PATH | os.O_CLOEXEC)
    clone = mounts.open_tree(target)
    mounts.set_attributes(clone, add=mounts.MOUNT_ATTR_RDONLY)
    mounts.attach(clone, target)
    os.close(clone)
    os.close(target)
    os.environ[SEALED] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
