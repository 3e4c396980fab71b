"""An exec: from a clone of the supervisor into the namespaces of a running container.

Two processes: the first enters the namespaces by the container's pidfd and clones the second, which is then inside the
pid namespace too and a child of the supervisor (CLONE_PARENT). Neither is dumpable before the exec, so the container
cannot reach the supervisor's interpreter through /proc (CVE-2019-5736).
"""

from __future__ import annotations

import os
import socket
from typing import NoReturn

from ..linux import capabilities, processes
from ..linux.paths import open_in_root
from . import init
from .spec import ProcessSpec
from .users import find_identity


def run_exec(
    process: ProcessSpec,
    pidfd: int,
    namespaces: list[str],
    stdio: tuple[int, int, int],
    status: socket.socket,
    filter_: bytes,
) -> NoReturn:
    """Enter the container and become the program; never returns.

    Arguments:
        pidfd: the container's first process.
        namespaces: those it has of its own.
        stdio: our ends of the pipes; all -1 with a terminal.
        status: socket to the supervisor, which is told the pid of the program's process first.
    """
    stage = init.Stage()
    try:
        processes.prctl(processes.PR_SET_DUMPABLE, 0)
        last = capabilities.last_capability()
        stage.name = "namespaces"
        processes.setns(pidfd, sum(init.FLAGS[name] for name in namespaces))
        inner = processes.clone(processes.CLONE_PARENT)
        if inner:
            status.sendall(init.PID + inner.to_bytes(4, "big"))
            os._exit(0)
        init.become_clean()
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stage.name = "resolve user"
        identity = find_identity(root, process["user"], process["groups"])
        stage.name = "terminal" if process["terminal"] else "stdio"
        init.take_stdio(process, stdio, status, root, console=False)
        stage.name = f"working directory {process['cwd']}"
        cwd = open_in_root(root, process["cwd"] or "/", os.O_PATH | os.O_DIRECTORY)
        init.become_program(process, identity, cwd, filter_, stage, last)
    except BaseException as error:
        init.report(status, stage.name, error)
    os._exit(1)
