"""/etc/hosts, /etc/hostname and /etc/resolv.conf of a container: files of the engine, bound into the root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..runtime.spec import MountSpec

_LOOPBACK = (
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
)


def build_hosts(hostname: str, domain: str, address: str, extra: list[str]) -> str:
    """The text of /etc/hosts; `extra` as Docker's ExtraHosts (`name:address`)."""
    lines = [_LOOPBACK]
    for item in extra:
        name, _, where = item.partition(":")
        lines.append(f"{where}\t{name}\n")
    if address:
        full = f"{hostname}.{domain} {hostname}" if domain else hostname
        lines.append(f"{address}\t{full}\n")
    return "".join(lines)


def build_resolv_conf(host: dict[str, Any], machine: str) -> str:
    """The text of /etc/resolv.conf: what was asked for, else the machine's without loopback resolvers."""
    kept = []
    for line in machine.splitlines():
        words = line.split()
        if not words or (words[0] == "nameserver" and (host.get("Dns") or words[-1].startswith(("127.", "::1")))):
            continue
        if (words[0] == "search" and host.get("DnsSearch")) or (words[0] == "options" and host.get("DnsOptions")):
            continue
        kept.append(line)
    kept += [f"nameserver {address}" for address in host.get("Dns") or []]
    for word, key in (("search", "DnsSearch"), ("options", "DnsOptions")):
        if host.get(key):
            kept.append(f"{word} {' '.join(host[key])}")
    return "\n".join(kept) + "\n"


def write_etc_files(directory: Path, config: dict[str, Any], host: dict[str, Any], address: str) -> list[MountSpec]:
    """Write the files of one start and plan their mounts."""
    hostname = str(config.get("Hostname") or "")
    try:
        machine = Path("/etc/resolv.conf").read_text(errors="replace")
    except OSError:
        machine = ""
    content = {
        "hostname": f"{hostname}\n",
        "hosts": build_hosts(hostname, str(config.get("Domainname") or ""), address, host.get("ExtraHosts") or []),
        "resolv.conf": build_resolv_conf(host, machine),
    }
    mounts: list[MountSpec] = []
    for name, text in content.items():
        (directory / name).write_text(text)
        mounts.append(
            {
                "kind": "bind",
                "source": str(directory / name),
                "target": f"/etc/{name}",
                "flags": [],
                "options": [],
                "propagation": "",
            }
        )
    return mounts
