"""`atoll context ...`: which engine the docker command speaks to.

The contexts are Docker's own; `create` can make one of a machine, which is why they are here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..errors import ApiError, ConfigError, HostError
from ..system.files import write_whole
from .containers import for_each
from .context_files import MAX_SIZE, format_archive, parse_archive
from .context_store import DEFAULT, IN_MEMORY, TLS_FILES, Context, ContextStore, check_name
from .inspect import inspect_each
from .lazy import DockerCommand, pass_target
from .making import check_output_path
from .render import is_terminal, out, out_bytes, say, warn
from .sorting import natural
from .target import Target
from .template import TABLE, print_list
from .values import FALSE, TRUE

COLUMNS = {"Name": "name", "Description": "description", "DockerEndpoint": "docker_endpoint", "Error": "error"}
SUFFIX = ".dockercontext"
ENDPOINT_KEYS = ("from", "host", "skip-tls-verify", *TLS_FILES)
CREATE_EXAMPLES = """\b
Examples:
  atoll context create dev                 of the machine "dev", else of the default one
  atoll --machine big context create work  of the machine "big"
  atoll context create far --docker host=tcp://far:2376,ca=ca.pem,cert=c.pem,key=k.pem
"""


@click.command(cls=DockerCommand, epilog=CREATE_EXAMPLES)
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@click.option("--docker", metavar="KEY=VALUE,...", help="Address: host, ca, cert, key, skip-tls-verify, from.")
@click.option("--from", "origin", metavar="CONTEXT", help="Copy the address of another context.")
@click.argument("context")
@pass_target
def create(target: Target, context: str, description: str, docker: str | None, origin: str | None) -> None:
    """Make a context: of a machine, of an address, or of another context.

    Without --docker and --from it is of the machine of its name, or else of the machine in use.
    """
    store = ContextStore()
    check_name(context)
    if store.find(context):
        raise HostError(f'context "{context}" already exists', f"see `atoll context inspect {context}`")
    if docker is not None:
        made = replace(_parse_endpoint(store, docker), name=context, description=description)
    elif origin is not None:
        copied = store.get(origin)
        made = replace(copied, name=context, description=description or copied.description)
    else:
        made = Context(name=context, host=_machine_address(target, context), description=description)
    store.save(made)
    out(context)
    say(f'Successfully created context "{context}"')


def _machine_address(target: Target, name: str) -> str:
    """Where the engine of a machine answers, whether it runs now or not.

    Raises:
        HostError: no such machine; or on Windows, where docker cannot speak to one.
    """
    if target.host:
        return target.host
    from ..machine.endpoint import Endpoint
    from ..machine.store import find_machine, get_machine

    if sys.platform == "win32":
        raise ConfigError("a machine's engine on Windows is for atoll only", "name an address with --docker host=...")
    machine = find_machine(name) or get_machine(target.machine)
    return Endpoint("unix", str((machine.sockets / "docker.sock").absolute())).to_docker_host()


def _parse_endpoint(store: ContextStore, text: str) -> Context:
    """Parse `--docker`.

    Raises:
        ConfigError: an unknown key, no address, or a certificate that cannot be read.
    """
    fields: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or key not in ENDPOINT_KEYS:
            raise ConfigError(f"invalid field of --docker: {part!r}", f"known are: {', '.join(ENDPOINT_KEYS)}")
        fields[key] = value
    if "from" in fields:
        return store.get(fields["from"])
    if not fields.get("host"):
        raise ConfigError("no host in --docker", "use --docker host=unix:///path or host=tcp://name:port")
    skip = fields.get("skip-tls-verify", "false")
    if skip not in TRUE | FALSE:
        raise ConfigError(f"invalid skip-tls-verify: {skip!r}", "use true or false")
    tls = {name: _read_certificate(fields[key]) for key, name in TLS_FILES.items() if fields.get(key)}
    return Context(name="", host=fields["host"], skip_verify=skip in TRUE, tls=tls)


def _read_certificate(name: str) -> bytes:
    path = Path(name).expanduser()
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {(error.strerror or '').lower()}") from error


@click.command(cls=DockerCommand)
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
@click.option("--format", metavar="FORMAT", help="json, or a template as '{{.Name}}: {{.DockerEndpoint}}'.")
def ls(quiet: bool, format: str | None) -> None:
    """List contexts."""
    store = ContextStore()
    current = store.current()
    contexts = sorted(store.list(), key=lambda context: natural(context.name))
    rows: list[Mapping[str, Any]] = [
        {
            "Current": context.name == current,
            "Description": context.description,
            "DockerEndpoint": context.host,
            "Error": "",
            "Name": context.name,
        }
        for context in contexts
    ]
    if quiet:
        for row in rows:
            out(row["Name"])
        return
    if format in (None, TABLE):
        rows = [{**row, "Name": f"{row['Name']} *" if row["Current"] else row["Name"]} for row in rows]
    print_list(rows, COLUMNS, format)
    if os.environ.get("DOCKER_HOST"):
        warn("DOCKER_HOST overrides the active context")


@click.command(cls=DockerCommand)
def show() -> None:
    """Print the name of the current context."""
    out(ContextStore().current())


@click.command(cls=DockerCommand)
@click.argument("context")
def use(context: str) -> None:
    """Choose the context that the docker command uses."""
    store = ContextStore()
    store.get(context)
    store.use(context)
    out(context)
    say(f'Current context is now "{context}"')
    for variable in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        if os.environ.get(variable):
            warn(f"{variable} is set and overrides it; unset it for the context to take effect")


@click.command(cls=DockerCommand)
@click.option("-f", "--format", metavar="FORMAT", help="json, or a template as '{{.Endpoints.docker.Host}}'.")
@click.argument("contexts", nargs=-1)
def inspect(contexts: tuple[str, ...], format: str | None) -> int:
    """Show everything about contexts, as JSON; the current one by default."""
    store = ContextStore()

    def find(name: str) -> dict[str, Any]:
        found = store.find(name)
        if found is None:
            raise ApiError(404, f'context "{name}" does not exist', "see `atoll context ls`")
        return _describe(store, found)

    return inspect_each(contexts or (store.current(),), find, format)


def _describe(store: ContextStore, context: Context) -> dict[str, Any]:
    meta = context.to_meta()
    memory = context.name == DEFAULT
    if memory:
        meta["Metadata"] = {}
    paths = (store.meta_directory(context.name), store.tls_directory(context.name))
    names = [IN_MEMORY] * 2 if memory else [str(path) for path in paths]
    material = {"docker": sorted(context.tls)} if context.tls else {}
    return {**meta, "TLSMaterial": material, "Storage": dict(zip(("MetadataPath", "TLSPath"), names, strict=True))}


@click.command(cls=DockerCommand)
@click.option("-f", "--force", is_flag=True, help="Also the one in use, and one that is not there.")
@click.argument("contexts", nargs=-1, required=True)
def rm(contexts: tuple[str, ...], force: bool) -> int:
    """Remove contexts."""
    store = ContextStore()

    def remove(name: str) -> None:
        if name == DEFAULT:
            raise ApiError(400, 'context "default" cannot be removed')
        if store.find(name) is None and not force:
            raise ApiError(404, f'context "{name}" does not exist', "see `atoll context ls`")
        if name == store.configured():
            if not force:
                raise ApiError(409, f'context "{name}" is in use', "use another one first, or remove it with -f")
            store.use(DEFAULT)
        if store.find(name):
            store.remove(name)

    return for_each(contexts, remove)


@click.command(cls=DockerCommand)
@click.option("--description", metavar="TEXT", help="What it is for.")
@click.option("--docker", metavar="KEY=VALUE,...", help="Address: host, ca, cert, key, skip-tls-verify, from.")
@click.argument("context")
def update(context: str, description: str | None, docker: str | None) -> None:
    """Change a context."""
    store = ContextStore()
    check_name(context)
    changed = store.get(context)
    if docker is not None:
        endpoint = _parse_endpoint(store, docker)
        changed = replace(changed, host=endpoint.host, skip_verify=endpoint.skip_verify, tls=endpoint.tls)
    if description is not None:
        changed = replace(changed, description=description)
    store.save(changed)
    out(context)
    say(f'Successfully updated context "{context}"')


@click.command(cls=DockerCommand)
@click.argument("context")
@click.argument("file", required=False, metavar="[FILE|-]")
def export(context: str, file: str | None) -> None:
    """Write a context as a tar archive, with its keys; to NAME.dockercontext by default."""
    data = format_archive(ContextStore().get(context))
    if file == "-":
        if is_terminal():
            raise ConfigError("an archive is nothing for a terminal", "name a file, or send it on")
        out_bytes(data)
        return
    path = Path(file or f"{context}{SUFFIX}")
    check_output_path(path)
    write_whole(path, data)
    say(f'Written file "{path}"')


@click.command("import", cls=DockerCommand)
@click.argument("context")
@click.argument("file", metavar="FILE|-")
def import_(context: str, file: str) -> None:
    """Make a context of an archive that `context export` wrote (tar or zip)."""
    store = ContextStore()
    check_name(context)
    if store.find(context):
        raise HostError(f'context "{context}" already exists', "choose another name, or remove it first")
    if file == "-":
        data = sys.stdin.buffer.read(MAX_SIZE + 1)
    else:
        try:
            with Path(file).open("rb") as stream:
                data = stream.read(MAX_SIZE + 1)
        except OSError as error:
            raise ConfigError(f"cannot read {file}: {(error.strerror or '').lower()}") from error
    store.save(replace(parse_archive(data), name=context))
    out(context)
    say(f'Successfully imported context "{context}"')
