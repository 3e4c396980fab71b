"""QEMU's command line as a parts list: one pure function per device, joined in `build_argv`.

Nothing here looks at the computer: a plan in, a list of words out, the same on every operating system. Golden files in
tests/data/argv hold every combination.
"""

from __future__ import annotations

from dataclasses import dataclass

from atoll_agent.api.seed import DATA_SERIAL, ROOT_SERIAL, WIRE_PORT

TCG_BUFFER_MIB = 256
"""Translation buffer; QEMU's default of 1 GiB per machine exhausts small computers that run several."""

HOTPLUG_PORTS = 2


@dataclass(frozen=True)
class Channel:
    """Where QEMU's end of a character device is.

    Attributes:
        kind: `unix` or `tcp`.
        address: path of the socket, or port on 127.0.0.1.
    """

    kind: str
    address: str


@dataclass(frozen=True)
class QemuPlan:
    """Everything the command line depends on.

    Attributes:
        program: QEMU's path.
        system: the host's `linux`, `darwin` or `windows`.
        arch: the guest's `amd64` or `arm64`.
        accelerator: `kvm`, `hvf`, `whpx` or `tcg`.
        cpu: CPU model; "" takes the accelerator's usual one.
        name: the machine's name.
        cpus: virtual processors.
        memory_mib: RAM.
        kernel: path of the kernel.
        initrd: path of initramfs, agent and seed in one.
        root: path of the read-only root.
        data: path of the qcow2 data disk; "" for none.
        console: path of the console's log.
        monitor: QMP.
        wire: the agent's channel.
        extra_ports: (virtio-serial port name, path) of ports written to a file.
        network: whether the machine has an interface.
        firmware: QEMU's data directory (`-L`); "" for its own idea.
    """

    program: str
    system: str
    arch: str
    accelerator: str
    name: str
    cpus: int
    memory_mib: int
    kernel: str
    initrd: str
    root: str
    console: str
    monitor: Channel
    wire: Channel
    data: str = ""
    cpu: str = ""
    extra_ports: tuple[tuple[str, str], ...] = ()
    network: bool = True
    firmware: str = ""


def build_argv(plan: QemuPlan) -> list[str]:
    """The whole command line."""
    return [
        plan.program,
        *base(plan),
        *machine(plan),
        *processor(plan),
        *memory(plan),
        *boot(plan),
        *monitor(plan),
        *console(plan),
        *root_disk(plan),
        *data_disk(plan),
        *serial_ports(plan),
        *network(plan),
        *entropy(plan),
        *balloon(plan),
        *generation_id(plan),
        *hotplug_ports(plan),
    ]


def escape(path: str) -> str:
    """A comma in an option's value is written twice."""
    return path.replace(",", ",,")


def base(plan: QemuPlan) -> list[str]:
    """No devices and no settings but ours; paused until the monitor says go; a reboot is an end."""
    words = ["-name", f"atoll-{plan.name}", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-S"]
    return words + (["-L", plan.firmware] if plan.firmware else [])


def machine(plan: QemuPlan) -> list[str]:
    """The board and what runs its processors."""
    board = "q35,usb=off,vmport=off,smbus=off" if plan.arch == "amd64" else "virt,gic-version=max"
    if plan.accelerator == "whpx" and plan.arch == "amd64":
        board += ",kernel-irqchip=off"  # WHPX's own interrupt controller fails with MSI on amd64
    accelerator = plan.accelerator
    if accelerator == "tcg":
        accelerator = f"tcg,thread=multi,tb-size={TCG_BUFFER_MIB}"
    return ["-machine", board, "-accel", accelerator]


def processor(plan: QemuPlan) -> list[str]:
    """The CPU model fits the accelerator; `max` is everything TCG can do."""
    usual = {"kvm": "host", "hvf": "host", "whpx": "max" if plan.arch == "amd64" else "host", "tcg": "max"}
    return ["-cpu", plan.cpu or usual[plan.accelerator], "-smp", str(plan.cpus)]


def memory(plan: QemuPlan) -> list[str]:
    """RAM."""
    return ["-m", f"{plan.memory_mib}M"]


def boot(plan: QemuPlan) -> list[str]:
    """Direct boot: no firmware menu, no boot loader."""
    return ["-kernel", plan.kernel, "-initrd", plan.initrd, "-append", " ".join(kernel_parameters(plan))]


def kernel_parameters(plan: QemuPlan) -> list[str]:
    """The kernel's command line."""
    words = [
        f"console={'ttyS0' if plan.arch == 'amd64' else 'ttyAMA0'}",
        "quiet",
        "panic=-1",
        "rcupdate.rcu_expedited=1",  # a namespace's end waits for a grace period; expedited it takes no tens of ms
        "random.trust_cpu=on",
    ]
    if plan.accelerator == "tcg":
        # Emulation neither speculates nor has a clock that could be wrong: mitigations and calibration only cost time.
        words += ["mitigations=off", "nokaslr", "cryptomgr.notests"]
        if plan.arch == "amd64":
            # A preset length for delay loops (of a 4 GHz processor): measuring it costs each processor up to a second.
            words += ["tsc=reliable", "no_timer_check", "lpj=16000000"]
        if plan.cpus > 1:
            # The kernel patches its own code while it boots, and QEMU 7 emulating several processors now and then runs
            # what was there before: a panic in one boot of ten. The image's init starts the others after that.
            words.append("maxcpus=1")
            if plan.arch == "amd64":
                words.append("noreplace-smp")  # nor shall it patch its locks when the second one comes
    return words


def monitor(plan: QemuPlan) -> list[str]:
    """QMP."""
    return ["-chardev", _server(plan.monitor, "monitor"), "-mon", "chardev=monitor,mode=control"]


def _server(channel: Channel, name: str) -> str:
    if channel.kind == "unix":
        return f"socket,id={name},path={escape(channel.address)},server=on,wait=off"
    return f"socket,id={name},host=127.0.0.1,port={channel.address},server=on,wait=off"


def console(plan: QemuPlan) -> list[str]:
    """The serial console, into a file."""
    return ["-chardev", f"file,id=console,path={escape(plan.console)}", "-serial", "chardev:console"]


def root_disk(plan: QemuPlan) -> list[str]:
    """The read-only root; first, so that the guest finds it at once."""
    drive = (
        f"driver=raw,node-name=root,read-only=on,file.driver=file,file.filename={escape(plan.root)},file.locking=off"
    )
    return ["-blockdev", drive, "-device", f"virtio-blk-pci,drive=root,serial={ROOT_SERIAL}"]


def data_disk(plan: QemuPlan) -> list[str]:
    """The data disk: grows with what is written, shrinks with what is discarded."""
    if not plan.data:
        return []
    drive = (
        "driver=qcow2,node-name=data,discard=unmap,detect-zeroes=unmap,"
        f"file.driver=file,file.discard=unmap,file.filename={escape(plan.data)}"
    )
    return ["-blockdev", drive, "-device", f"virtio-blk-pci,drive=data,serial={DATA_SERIAL}"]


def serial_ports(plan: QemuPlan) -> list[str]:
    """The agent's channel, and ports that are written to files."""
    words = ["-device", "virtio-serial-pci,id=ports", "-chardev", _server(plan.wire, "wire")]
    words += ["-device", f"virtserialport,bus=ports.0,chardev=wire,id=wire,name={WIRE_PORT}"]
    for number, (name, path) in enumerate(plan.extra_ports):
        words += ["-chardev", f"file,id=port{number},path={escape(path)}"]
        words += ["-device", f"virtserialport,bus=ports.0,chardev=port{number},name={name}"]
    return words


def network(plan: QemuPlan) -> list[str]:
    """User networking; nothing is forwarded here: ports and SSH are streams of the agent's channel."""
    if not plan.network:
        return []
    # Without a boot ROM: the machine never boots from the network.
    return ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]


def entropy(plan: QemuPlan) -> list[str]:
    """Random numbers from the host; the Windows build has its own source."""
    backend = "rng-builtin,id=entropy" if plan.system == "windows" else "rng-random,id=entropy,filename=/dev/urandom"
    return ["-object", backend, "-device", "virtio-rng-pci,rng=entropy"]


def balloon(plan: QemuPlan) -> list[str]:
    """Pages the guest frees go back to the host, where that works (QEMU on Linux)."""
    reporting = ",free-page-reporting=on" if plan.system == "linux" else ""
    return ["-device", f"virtio-balloon-pci,id=balloon{reporting}"]


def generation_id(plan: QemuPlan) -> list[str]:
    """Tells a resumed guest that it is not the one that was saved; an ACPI device of amd64."""
    return ["-device", "vmgenid,guid=auto"] if plan.arch == "amd64" else []


def hotplug_ports(plan: QemuPlan) -> list[str]:
    """Free places for devices that are added while the machine runs."""
    words: list[str] = []
    for number in range(HOTPLUG_PORTS):
        words += ["-device", f"pcie-root-port,id=free{number},chassis={number + 1},slot={number + 1}"]
    return words
