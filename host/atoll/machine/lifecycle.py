"""A machine's life, told from top to bottom: found or made, started, stopped, removed.

The running case is short on purpose: one file is read and the endpoint returned. Everything heavier is imported where
it is needed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from ..errors import BootError, DependencyMissing, HostError, MachineExists, MachineState
from ..system.processes import end, is_alive
from .endpoint import Endpoint
from .store import FAILED, RUNNING, KeeperState, Machine, create_machine, find_machine, get_machine, remove_machine

Say = Callable[[str], None]
DEFAULT = "default"
START_DEADLINE_S = 180.0
STOP_DEADLINE_S = 30.0
WAIT_S = 0.01


def ensure_running(name: str, *, driver: str | None = None, say: Say = lambda text: None) -> Endpoint:
    """Where the engine of a machine answers; starts it if need be, and makes the default one.

    Arguments:
        driver: for a machine that is made: `qemu` or `native`. With `native` and no other name the machine is called
            `native`, so that it does not take the default one's place.

    Raises:
        HostError: no such machine, or it cannot be started.
    """
    if driver == "native" and name == DEFAULT:
        name = "native"
    machine = find_machine(name)
    if machine:
        endpoint = machine.endpoint()
        if endpoint:
            return endpoint
    elif name in (DEFAULT, "native"):
        machine = _make_unless_made(name, driver or "qemu", say)
    else:
        machine = get_machine(name)
    return start(machine, say=say)


def _make_unless_made(name: str, driver: str, say: Say) -> Machine:
    """Make a machine that another command may be making, too."""
    try:
        machine = make(name, driver=driver)
    except MachineExists:
        return get_machine(name)
    say(f"made machine {name}")
    return machine


def make(name: str, **settings: object) -> Machine:
    """Make a machine with settings (see `MachineConfig`); those that are None take their default."""
    from ..config import MachineConfig, host_architecture

    chosen = {key: value for key, value in settings.items() if value is not None}
    chosen.setdefault("arch", host_architecture())
    return create_machine(MachineConfig(name=name, **chosen))  # type: ignore[arg-type]


def start(machine: Machine, *, say: Say = lambda text: None) -> Endpoint:
    """Start a machine and wait until its engine answers. Starting one that runs is no error.

    Raises:
        BootError: it did not come up; the message has the console's last lines.
        HostError: something it needs is missing.
    """
    from ..system.locks import FileLock

    lock = FileLock(machine.file("start.lock"))
    if not lock.acquire(START_DEADLINE_S):
        raise MachineState(f"another command has been starting {machine.name} for a long time", "end it and try again")
    try:
        endpoint = machine.endpoint()
        if endpoint:
            return endpoint
        _clean_up(machine)
        say(f"starting machine {machine.name}")
        if machine.config.driver == "native":
            endpoint = _start_native(machine)
        else:
            endpoint = _start_qemu(machine, say)
        _ensure_base_image(endpoint, machine, say)
        return endpoint
    finally:
        lock.release()


def _clean_up(machine: Machine) -> None:
    """Take away what a keeper left behind that was killed: its QEMU would hold the disk."""
    state = machine.read_state()
    if state is None:
        _dismiss_keeper(machine)
        return
    if state.alive and state.status != FAILED:
        end(state.pid, force=True)
    if is_alive(state.qemu_pid, state.qemu_mark):
        end(state.qemu_pid, force=True)
        deadline = time.monotonic() + STOP_DEADLINE_S
        while is_alive(state.qemu_pid, state.qemu_mark) and time.monotonic() < deadline:
            time.sleep(WAIT_S)
    machine.clear_state()


def _dismiss_keeper(machine: Machine) -> bool:
    """End a keeper whose notes are lost, or another version's; wait for one that is ending. False: none was reached."""
    from ..system.locks import FileLock

    reached = _tell_keeper(machine, {"op": "stop", "timeout_s": STOP_DEADLINE_S})
    lock = FileLock(machine.file("keeper.lock"))
    if not lock.acquire(2 * STOP_DEADLINE_S if reached else STOP_DEADLINE_S):
        raise MachineState(
            f"machine {machine.name} has a keeper that does not end", f"see {machine.file('keeper.log')}"
        )
    lock.release()
    return reached


def _start_qemu(machine: Machine, say: Say) -> Endpoint:
    from ..system.processes import start_detached

    _write_boot_plan(machine, say)
    console = machine.file("console.log")
    if console.exists():
        console.replace(machine.file("console.log.1"))
    pid = start_detached(
        [sys.executable, "-m", "atoll.machine.keeper", str(machine.directory)], machine.file("keeper.log")
    )
    return _await_keeper(machine, pid)


def _write_boot_plan(machine: Machine, say: Say) -> None:
    """Decide everything about the boot and write it down for the keeper."""
    from ..qemu.argv import QemuPlan
    from ..qemu.binary import find_qemu
    from ..system.accelerator import platform_name
    from ..system.files import write_whole
    from .boot import choose_channels
    from .images import agent_archive, compose_initrd, direct_kernel, ensure_image
    from .proof import conditions_key, load_verdict
    from .seed import build_seed

    config = machine.config
    qemu = find_qemu(config.arch)
    image = ensure_image(config.arch, say)
    kernel = direct_kernel(image, config.arch)
    conditions = conditions_key(qemu.identity, kernel, config.arch)
    verdict = load_verdict(conditions)
    wish = config.accelerator if config.accelerator != "auto" else (verdict.accelerator if verdict else "")
    seed = build_seed(machine, wish)
    write_whole(machine.file("initrd"), compose_initrd(image, agent_archive(image, config.arch, say), seed))
    monitor, wire = choose_channels(machine.sockets)
    plan = QemuPlan(
        program=str(qemu.path),
        system=platform_name(),
        arch=config.arch,
        accelerator="tcg",
        name=machine.name,
        cpus=config.cpus,
        memory_mib=config.memory_mib,
        kernel=str(kernel),
        initrd=str(machine.file("initrd")),
        root=str(image / "root.erofs"),
        data=str(machine.file("data.qcow2")),
        console=str(machine.file("console.log")),
        monitor=monitor,
        wire=wire,
    )
    text = json.dumps({"plan": asdict(plan), "conditions": conditions}, indent=1)
    write_whole(machine.file("boot.json"), text.encode())


def _await_keeper(machine: Machine, pid: int) -> Endpoint:
    """Wait until the keeper says that the engine answers, or why not."""
    from ..system.processes import start_mark

    mark = start_mark(pid)
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        state = machine.read_state()
        if state and state.pid == pid and state.status == RUNNING:
            return Endpoint(*state.endpoint)
        if state and state.pid == pid and state.status == FAILED:
            raise BootError(state.error, state.hint, state.console)
        if not is_alive(pid, mark):
            state = machine.read_state()
            if state and state.pid == pid and state.status == FAILED:
                raise BootError(state.error, state.hint, state.console)
            if state is None:
                raise BootError(f"machine {machine.name} was stopped while it was starting")
            raise BootError(f"the keeper of machine {machine.name} ended", f"see {machine.file('keeper.log')}")
        time.sleep(WAIT_S)
    end(pid)
    raise BootError(f"machine {machine.name} did not start within {START_DEADLINE_S:.0f} s", "see `atoll doctor`")


def _start_native(machine: Machine) -> Endpoint:
    """Start the engine straight on this host.

    Raises:
        DependencyMissing: not Linux, or not root.
    """
    import os

    from ..system.processes import start_detached, start_mark

    if sys.platform != "linux":
        raise DependencyMissing("the native driver needs Linux", "use a machine: leave out --driver native")
    if os.geteuid() != 0:
        raise DependencyMissing("the native driver needs root", "run atoll as root, or leave out --driver native")
    path = machine.sockets / "docker.sock"
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "atoll_agent", "--native", "--data-root", str(machine.file("data"))]
    command += ["--socket", str(path), "--bridge", f"at-{machine.name}"[:15]]
    pid = start_detached(command, machine.file("console.log"))
    mark = start_mark(pid)
    deadline = time.monotonic() + START_DEADLINE_S
    while not path.exists():
        if not is_alive(pid, mark) or time.monotonic() > deadline:
            raise BootError("the engine did not start", f"see {machine.file('console.log')}", machine.console_tail())
        time.sleep(WAIT_S)
    endpoint = Endpoint("unix", str(path))
    address = (endpoint.kind, endpoint.address, endpoint.token)
    machine.write_state(KeeperState(RUNNING, pid, mark, address, accelerator="none", reason="native driver"))
    return endpoint


def _ensure_base_image(endpoint: Endpoint, machine: Machine, say: Say) -> None:
    """Load atoll/base into an engine that has no such image, so that a first container needs no registry."""
    from ..client.engine import Engine
    from .images import ensure_image, image_directory

    engine = Engine(endpoint)
    try:
        if any("atoll/base:latest" in (row["RepoTags"] or ()) for row in engine.images.list()):
            return
        arch = machine.config.arch
        archive = image_directory(arch) / "base.tar"
        if not archive.exists():
            archive = ensure_image(arch, say) / "base.tar"
        load_archive(engine, archive)
    finally:
        engine.close()


def load_archive(engine: object, archive: Path) -> None:
    """Load an image archive into an engine.

    Raises:
        HostError: the engine refuses it.
    """
    from ..client.engine import Engine

    assert isinstance(engine, Engine)
    with archive.open("rb") as file:
        for line in engine.images.load(iter(lambda: file.read(1 << 20), b"")):
            if "error" in line:
                raise HostError(f"cannot load {archive.name}: {line['error']}")


def stop(machine: Machine, timeout_s: float = STOP_DEADLINE_S) -> bool:
    """Stop a machine; False when it was stopped already.

    Arguments:
        timeout_s: how long its containers and itself may take before it is ended.
    """
    state = machine.read_state()
    if state is None:
        return machine.file("control.json").exists() and _dismiss_keeper(machine)
    if not state.alive:
        _clean_up(machine)
        return False
    if machine.config.driver == "native" or not _tell_keeper(machine, {"op": "stop", "timeout_s": timeout_s}):
        end(state.pid)
    deadline = time.monotonic() + timeout_s + STOP_DEADLINE_S
    while is_alive(state.pid, state.mark):
        if time.monotonic() > deadline:
            raise MachineState(f"machine {machine.name} does not stop", f"its keeper has pid {state.pid}")
        time.sleep(WAIT_S)
    _clean_up(machine)
    return True


def _tell_keeper(machine: Machine, message: dict[str, object]) -> bool:
    """Ask a keeper for something; False when it cannot be reached."""
    from ..client.streams import open_stream

    try:
        stream = open_stream(Endpoint(*json.loads(machine.file("control.json").read_bytes())))
    except (OSError, ValueError, TypeError, HostError):
        return False
    try:
        stream.sendall(json.dumps(message).encode() + b"\n")
        stream.recv(4096)
    except OSError:
        pass  # it has ended meanwhile, which is what was asked for
    finally:
        stream.close()
    return True


def remove(machine: Machine, *, force: bool) -> None:
    """Remove a machine with its images, containers and volumes.

    Raises:
        MachineState: it runs, and `force` is not given.
    """
    if machine.status in (RUNNING, "starting"):
        if not force:
            raise MachineState(f"machine {machine.name} is running", "stop it first, or use --force")
        stop(machine)
    _clean_up(machine)
    remove_machine(machine)
