"""/etc/hosts, /etc/hostname and /etc/resolv.conf of a container: files of the engine, bound into the root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..runtime.spec import MountSpec
from .standard_mounts import plan_file

_LOOPBACK = (
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
)


def build_hosts(hostname: str, domain: str, addresses: list[str], extra: list[str], host_gateway: str) -> str:
    """The text of /etc/hosts; `extra` as Docker's ExtraHosts (`name:address`, or `name:host-gateway`)."""
    lines = [_LOOPBACK]
    for item in extra:
        name, _, where = item.partition(":")
        lines.append(f"{host_gateway if where == HOST_GATEWAY else where.strip('[]')}\t{name}\n")
    full = f"{hostname}.{domain} {hostname}" if domain else hostname
    lines += [f"{address}\t{full}\n" for address in addresses]
    return "".join(lines)


HOST_GATEWAY = "host-gateway"


def build_resolv_conf(host: dict[str, Any], machine: str, resolver: str = "") -> str:
    """The text of /etc/resolv.conf: what was asked for, else the machine's without loopback resolvers.

    Arguments:
        resolver: the engine's own name server, which then is the only one; it asks the others.
    """
    kept = []
    for line in machine.splitlines():
        words = line.split()
        if not words or (words[0] == "nameserver" and (host.get("Dns") or words[-1].startswith(("127.", "::1")))):
            continue
        if (words[0] == "search" and host.get("DnsSearch")) or (words[0] == "options" and host.get("DnsOptions")):
            continue
        kept.append(line)
    if resolver:
        kept = [line for line in kept if not line.startswith("nameserver")]
        kept.insert(0, f"nameserver {resolver}")
        if not host.get("DnsOptions"):
            kept.append("options ndots:0")
    else:
        kept += [f"nameserver {address}" for address in host.get("Dns") or []]
    for word, key in (("search", "DnsSearch"), ("options", "DnsOptions")):
        if host.get(key):
            kept.append(f"{word} {' '.join(host[key])}")
    return "\n".join(kept) + "\n"


def write_etc_files(
    directory: Path,
    config: dict[str, Any],
    host: dict[str, Any],
    addresses: list[str],
    *,
    resolver: str = "",
    host_gateway: str = "",
    linked: list[str] | None = None,
) -> list[MountSpec]:
    """Write the files of one start, in place since they may be mounted already, and plan their mounts.

    Arguments:
        linked: lines of /etc/hosts for containers that it links to.
    """
    hostname = str(config.get("Hostname") or "")
    try:
        machine = Path("/etc/resolv.conf").read_text(errors="replace")
    except OSError:
        machine = ""
    content = {
        "hostname": f"{hostname}\n",
        "hosts": build_hosts(
            hostname, str(config.get("Domainname") or ""), addresses, host.get("ExtraHosts") or [], host_gateway
        )
        + "".join(linked or ()),
        "resolv.conf": build_resolv_conf(host, machine, resolver),
    }
    for name, text in content.items():
        (directory / name).write_text(text)
    return plan_etc_mounts(directory)


def plan_etc_mounts(directory: Path) -> list[MountSpec]:
    """The mounts of the files in a container's directory."""
    return [
        plan_file(str(directory / name), f"/etc/{name}", read_only=False)
        for name in ("hostname", "hosts", "resolv.conf")
    ]
