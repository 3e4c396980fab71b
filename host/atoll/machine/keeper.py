"""A machine's keeper: one process that holds QEMU, the machine's channel and the places where clients connect.

Started detached by `lifecycle`; survives the terminal. Ends when QEMU does, and takes everything along that it made.

    python -m atoll.machine.keeper DIRECTORY
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..config import host_architecture, split_address
from ..errors import BootError, HostError
from ..qemu.argv import Channel, QemuPlan
from ..system.files import write_whole
from ..system.locks import FileLock
from ..system.processes import start_mark
from . import boot, proof
from .endpoint import Endpoint
from .listeners import listen, listen_loopback
from .ports import HostPorts
from .readiness import GuestDied
from .store import FAILED, RUNNING, STARTING, KeeperState, Machine

if TYPE_CHECKING:
    from .tcp_front import TcpFront

log = logging.getLogger("atoll.keeper")
SESSION_WAIT_S = 10.0
SHUTDOWN_ANSWER_S = 5.0
PORTS_RETRY_S = 0.2
CONTAINERS_S = 10.0
"""How long containers may take to end by themselves; `docker stop` gives them as much."""

QUIT_S = 5.0


def load_plan(path: Path) -> tuple[QemuPlan, str]:
    """The command line's plan and the conditions of its accelerator's proof, as `lifecycle` wrote them."""
    raw = json.loads(path.read_bytes())
    plan = raw["plan"]
    plan["monitor"], plan["wire"] = Channel(**plan["monitor"]), Channel(**plan["wire"])
    plan["extra_ports"] = tuple(tuple(port) for port in plan["extra_ports"])
    return QemuPlan(**plan), raw["conditions"]


class Keeper:
    """One machine, while it runs."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._plan, self._conditions = load_plan(machine.file("boot.json"))
        self._running: boot.Running | None = None
        self._booting: asyncio.Future[boot.Running] | None = None
        self._ports: asyncio.Task[None] | None = None
        self._verdict = proof.Verdict("")
        self._servers: list[asyncio.AbstractServer] = []
        self._front: TcpFront | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def _state(self, status: str, **more: Any) -> KeeperState:
        return KeeperState(status, os.getpid(), start_mark(os.getpid()), **more)

    async def run(self) -> None:
        """Boot, serve, and end with QEMU."""
        self._machine.write_state(self._state(STARTING))
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows
                asyncio.get_running_loop().add_signal_handler(number, self._on_signal)
        try:
            await self._serve_control()
            self._booting = asyncio.ensure_future(self._boot())
            self._running = await self._booting
            await self._serve()
        except asyncio.CancelledError:
            log.info("stopped while starting")
            self._machine.clear_state()
            await self._end()
            return
        except (HostError, OSError) as error:
            log.error("%s", error)
            tail = self._machine.console_tail()
            await self._end()  # before the state is written, which a full disk may prevent
            hint = error.hint if isinstance(error, HostError) else "see `atoll doctor`"
            self._machine.write_state(self._state(FAILED, error=str(error), hint=hint, console=tail))
            return
        code = await self._running.process.wait()
        log.info("QEMU ended with exit code %s", code)
        self._machine.clear_state()
        await self._end()

    def _on_signal(self) -> None:
        self._spawn(self.stop(30.0))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _boot(self) -> boot.Running:
        """Try the accelerators in order; remember which one worked, and why not the others."""
        config = self._machine.config
        remembered = proof.load_verdict(self._conditions)
        names, rejected = proof.plan_attempts(config.accelerator, config.arch, host_architecture(), remembered)
        error: BootError | None = None
        with self._machine.file("keeper.log").open("ab") as log_file:
            for name in names:
                begun = log_file.tell()
                try:
                    running = await self._attempt(name, log_file)
                except BootError as failed:
                    log.warning("%s: %s", name, failed.message)
                    rejected.append((name, f"{failed.message}{self._last_words(begun)}"))
                    error = failed
                    continue
                self._verdict = proof.Verdict(name, tuple(rejected))
                if config.accelerator == "auto" and not remembered:
                    try:
                        proof.save_verdict(self._conditions, self._verdict)
                    except OSError as failure:
                        log.warning("what was proved is not remembered: %s", failure)
                return running
        if remembered:
            proof.forget_verdict(self._conditions)
        tail = self._machine.console_tail()
        raise BootError(
            f"machine {self._machine.name} did not start: {error.message if error else 'no accelerator is left'}",
            f"see `atoll machine logs {self._machine.name}` and `atoll doctor`",
        ) from BootError(tail)

    async def _attempt(self, name: str, log_file: IO[bytes]) -> boot.Running:
        try:
            return await boot.attempt(self._plan, name, log_file, self._note_process)
        except GuestDied as died:
            if name != "tcg":
                raise
            # QEMU 7 emulating several processors may run code that the kernel has just patched; `qemu.argv` keeps that
            # out of the kernel's own boot, where it was seen. Should it happen, the next boot comes up.
            log.warning("%s; once more. The console's last lines:\n%s", died.message, self._machine.console_tail())
            return await boot.attempt(self._plan, name, log_file, self._note_process)

    def _note_process(self, pid: int) -> None:
        """Whoever finds this keeper killed must find its QEMU too."""
        self._machine.write_state(self._state(STARTING, qemu_pid=pid, qemu_mark=start_mark(pid)))

    def _last_words(self, begun: int) -> str:
        """What QEMU said before it died, in short; `begun` is where the log ended before."""
        try:
            said = self._machine.file("keeper.log").read_bytes()[begun:]
        except OSError:
            return ""
        lines = said[-2000:].decode("utf-8", "replace").splitlines()
        words = [line for line in lines if "qemu-system" in line]
        return f" ({words[-1].strip()[:200]})" if words else ""

    # -- serving -----------------------------------------------------------------------------

    async def _serve_control(self) -> None:
        control, endpoint = await listen(self._machine.sockets / "control.sock", self._control)
        self._servers.append(control)
        write_whole(self._machine.file("control.json"), json.dumps(list(endpoint)).encode())

    async def _serve(self) -> None:
        assert self._running
        sockets = self._machine.sockets
        api, endpoint = await listen(sockets / "docker.sock", lambda r, w: self._join("api", r, w))
        ssh, port = await listen_loopback(lambda r, w: self._join("ssh", r, w))
        self._servers += [api, ssh]
        self._serve_tcp(endpoint)
        self._ports = asyncio.create_task(self._follow_ports())
        self._machine.write_state(
            self._state(
                RUNNING,
                endpoint=tuple(endpoint),
                ssh_port=port,
                qemu_pid=self._running.process.pid,
                qemu_mark=self._running.mark,
                accelerator=self._verdict.accelerator,
                reason=self._verdict.reason,
            )
        )

    def _serve_tcp(self, endpoint: Endpoint) -> None:
        """The API on a TCP port, where its user asked for one."""
        config = self._machine.config
        if not config.tcp:
            return
        from .certificates import ensure_certificates, server_context
        from .tcp_front import TcpFront

        host, port = split_address(config.tcp)
        context = None
        if config.tls:
            context = server_context(ensure_certificates(self._machine.file("tls"), config.name, host))
        else:
            log.warning("the API answers on tcp://%s without TLS: whoever reaches it has this machine", config.tcp)
        try:
            self._front = TcpFront(endpoint, host, port, context)
        except OSError as error:
            raise BootError(
                f"cannot listen on {config.tcp}: {(error.strerror or str(error)).lower()}",
                f"choose another address with `atoll machine set {config.name} --tcp`",
            ) from error

    async def _follow_ports(self) -> None:
        """Open the ports that containers publish, and again when the agent comes back."""
        assert self._running
        channel = self._running.channel
        ports = HostPorts(
            lambda service, reader, writer: channel.serve(service, reader, writer, SESSION_WAIT_S),
            lambda service: channel.open(service, SESSION_WAIT_S),
        )
        try:
            while not channel.ended.is_set():
                await channel.ready.wait()
                reader, writer = await channel.open("ports", SESSION_WAIT_S)
                try:
                    await ports.follow(reader, writer)
                except (OSError, ValueError, KeyError, TypeError) as error:
                    log.warning("published ports: %s", error)
                finally:
                    writer.close()
                await asyncio.sleep(PORTS_RETRY_S)
        finally:
            ports.close()

    async def _join(self, service: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._running
        with contextlib.suppress(HostError, OSError):
            await self._running.channel.serve(service, reader, writer, SESSION_WAIT_S)

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One JSON line asks, one answers: `{"op": "stop", "timeout_s": 10}`, `{"op": "status"}`."""
        try:
            message = json.loads(await reader.readline())
            if message["op"] == "stop":
                await self.stop(float(message["timeout_s"]))
            writer.write(json.dumps({"ok": True, "pid": os.getpid()}).encode() + b"\n")
            await writer.drain()
        except (ValueError, KeyError, TypeError, OSError) as error:
            log.warning("control: %s", error)
        finally:
            writer.close()

    # -- ending ------------------------------------------------------------------------------

    async def stop(self, timeout_s: float) -> None:
        """Have the agent end everything and power off; insist after a deadline. While it boots: give the boot up."""
        if self._running is None:
            if self._booting:
                self._booting.cancel()
            return
        if self._stopping.is_set():
            return
        process = self._running.process
        try:
            body = json.dumps({"timeout_s": max(0.0, min(CONTAINERS_S, timeout_s - QUIT_S))}).encode()
            asking = boot.request(self._running.channel, "POST", "/atoll/shutdown", body)
            await asyncio.wait_for(asking, SHUTDOWN_ANSWER_S)
            await asyncio.wait_for(process.wait(), timeout_s)
        except (TimeoutError, HostError, OSError) as error:
            log.warning("the machine does not power off by itself: %s", error)
            await self._kill()
        self._stopping.set()

    async def _kill(self) -> None:
        assert self._running
        process, monitor = self._running.process, self._running.monitor
        with contextlib.suppress(HostError, asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(monitor.execute("quit"), QUIT_S)
            await asyncio.wait_for(process.wait(), QUIT_S)
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        if self._front:
            self._front.close()
        if self._ports:
            self._ports.cancel()
        if self._running:
            if self._running.process.returncode is None:
                await self._kill()
            self._running.channel.close()
            await self._running.monitor.close()
        names = ("docker.sock", "control.sock", "monitor.sock", "wire.sock")
        for path in [*(self._machine.sockets / name for name in names), self._machine.file("control.json")]:
            with contextlib.suppress(OSError):  # somebody else's, when it cannot be removed
                path.unlink()
        # Answers that are on their way (to `machine stop`) still go out.
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
        await asyncio.sleep(0)


def main(directory: str) -> int:
    """Keep the machine in a directory."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)
    machine = Machine(Path(directory))
    lock = FileLock(machine.file("keeper.lock"))
    if not lock.acquire(0):
        log.error("machine %s has a keeper already", machine.name)
        return 1
    try:
        asyncio.run(Keeper(machine).run())
    except Exception as error:
        log.exception("the keeper ends")
        machine.write_state(
            KeeperState(FAILED, os.getpid(), start_mark(os.getpid()), error=f"the keeper failed: {error!r}")
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
