"""`atoll info`: numbers and abilities of the engine, laid out as Docker's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from .lazy import DockerCommand, pass_target
from .render import binary_size, out, warn
from .system import client_version
from .target import Target

Info = Mapping[str, Any]


@click.command(cls=DockerCommand)
@click.option("-f", "--format", metavar="FORMAT", help="json, or a template as '{{.Driver}}'.")
@pass_target
def info(target: Target, format: str | None) -> None:
    """Show numbers and abilities of the engine."""
    from .template import render

    found = target.engine().system.info()
    if format:
        out(render(format, found))
        return
    client = client_version()
    out(f"Client: atoll\n Version:    {client['Version']}\n Machine:    {target.host or target.machine}\n\nServer:")
    for line in format_info(found):
        out(line)
    out()
    for warning in found.get("Warnings") or ():
        warn(str(warning).removeprefix("WARNING: "))


def format_info(found: Info) -> list[str]:
    """The lines about the engine (pure)."""
    return [
        *_rows(found, "Containers", ("  Running", "ContainersRunning"), ("  Paused", "ContainersPaused"),
               ("  Stopped", "ContainersStopped"), "Images"),
        *_given(found, ("Server Version", "ServerVersion"), ("Storage Driver", "Driver")),
        *(f"  {name}: {value}" for name, value in found.get("DriverStatus") or ()),
        *_given(found, ("Logging Driver", "LoggingDriver"), ("Cgroup Driver", "CgroupDriver"),
                ("Cgroup Version", "CgroupVersion")),
        *_format_plugins(found),
        *_format_runtimes(found),
        *_given(found, ("Kernel Version", "KernelVersion"), ("Operating System", "OperatingSystem"),
                ("OSType", "OSType"), ("Architecture", "Architecture")),
        f" CPUs: {found.get('NCPU', 0)}",
        f" Total Memory: {binary_size(found.get('MemTotal', 0))}",
        *_given(found, ("Name", "Name"), ("ID", "ID")),
        f" Docker Root Dir: {found.get('DockerRootDir', '')}",
        f" Debug Mode: {_truth(found.get('Debug'))}",
        *_given(found, ("HTTP Proxy", "HttpProxy"), ("HTTPS Proxy", "HttpsProxy"), ("No Proxy", "NoProxy")),
        *_block("Labels", found.get("Labels") or ()),
        f" Experimental: {_truth(found.get('ExperimentalBuild'))}",
        *_format_registries(found.get("RegistryConfig") or {}),
        f" Live Restore Enabled: {_truth(found.get('LiveRestoreEnabled'))}",
        *_given(found, ("Product License", "ProductLicense")),
        *_block("Default Address Pools", (f" Base: {pool['Base']}, Size: {pool['Size']}"
                                          for pool in found.get("DefaultAddressPools") or ())),
    ]  # fmt: skip


def _rows(found: Info, *rows: str | tuple[str, str]) -> list[str]:
    pairs = [(f" {row}", row) if isinstance(row, str) else row for row in rows]
    return [f"{label}: {found.get(key, 0)}" for label, key in pairs]


def _given(found: Info, *rows: tuple[str, str]) -> list[str]:
    """Rows of what the engine tells; those it leaves empty are left out."""
    return [f" {label}: {found[key]}" for label, key in rows if found.get(key)]


def _block(label: str, lines: Iterable[str]) -> list[str]:
    inner = [f"  {line}" for line in lines]
    return [f" {label}:", *inner] if inner else []


def _truth(value: object) -> str:
    return str(bool(value)).lower()


def _format_plugins(found: Info) -> list[str]:
    plugins = found.get("Plugins") or {}
    lines = [f"  {kind}: {' '.join(plugins.get(kind) or ())}" for kind in ("Volume", "Network")]
    if plugins.get("Authorization"):
        lines.append(f"  Authorization: {' '.join(plugins['Authorization'])}")
    lines.append(f"  Log: {' '.join(plugins.get('Log') or ())}")
    swarm = (found.get("Swarm") or {}).get("LocalNodeState", "")
    return [" Plugins:", *lines, *_block("CDI spec directories", found.get("CDISpecDirs") or ()), f" Swarm: {swarm}"]


def _format_runtimes(found: Info) -> list[str]:
    lines = []
    if found.get("Runtimes"):
        names = " ".join(sorted(found["Runtimes"]))
        lines += [f" Runtimes: {names}", f" Default Runtime: {found.get('DefaultRuntime', '')}"]
    if found.get("OSType") == "linux":
        lines.append(f" Init Binary: {found.get('InitBinary', '')}")
        for program in ("containerd", "runc", "init"):
            commit = (found.get(f"{program.title()}Commit") or {}).get("ID", "")
            lines.append(f" {program} version: {commit}")
        lines += _format_security(found.get("SecurityOptions") or ())
    return lines


def _format_security(options: Iterable[str]) -> list[str]:
    """`name=seccomp,profile=builtin` as a name with its profile below."""
    lines: list[str] = []
    for option in options:
        fields = dict(part.partition("=")[::2] for part in option.split(","))
        lines.append(fields.get("name", option))
        if "profile" in fields:
            lines.append(f" Profile: {fields['profile']}")
    return _block("Security Options", lines)


def _format_registries(config: Mapping[str, Any]) -> list[str]:
    indexes = config.get("IndexConfigs") or {}
    insecure = [index["Name"] for index in indexes.values() if not index.get("Secure")]
    networks = list(config.get("InsecureRegistryCIDRs") or ())
    lines = [" Insecure Registries:", *(f"  {name}" for name in [*insecure, *networks])] if indexes or networks else []
    return lines + _block("Registry Mirrors", config.get("Mirrors") or ())
