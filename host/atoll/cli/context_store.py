"""Docker's contexts on disk, as the docker command keeps them: what one writes, the other reads.

    ~/.docker/config.json                               `currentContext`, beside much that is not ours
    ~/.docker/contexts/meta/<sha256 of name>/meta.json  name, description, address
    ~/.docker/contexts/tls/<sha256 of name>/docker/     certificates

`DOCKER_CONFIG` moves all of it. The context "default" is not on disk: it is `DOCKER_HOST`, or Docker's own socket.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError, HostError
from ..system.files import write_whole

DEFAULT = "default"
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.+-]+", re.ASCII)
DEFAULT_DESCRIPTION = "Current DOCKER_HOST based configuration"
IN_MEMORY = "<IN MEMORY>"
TLS_FILES = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
DEFAULT_HOST = "npipe:////./pipe/docker_engine" if sys.platform == "win32" else "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class Context:
    """One context.

    Attributes:
        host: address of an engine; "" when it says none.
        extra: what else its meta.json holds of others' making.
        tls: content by name of file.
    """

    name: str
    host: str = ""
    description: str = ""
    skip_verify: bool = False
    tls: Mapping[str, bytes] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_meta(self) -> dict[str, Any]:
        """What stands in meta.json."""
        metadata = dict(self.extra)
        if self.description:
            metadata["Description"] = self.description
        endpoint = {"Host": self.host, "SkipTLSVerify": self.skip_verify}
        return {"Name": self.name, "Metadata": metadata, "Endpoints": {"docker": endpoint}}


def parse_meta(data: bytes, tls: Mapping[str, bytes]) -> Context:
    """Parse a meta.json.

    Raises:
        ValueError: it is none.
    """
    try:
        meta = json.loads(data)
        metadata = dict(meta.get("Metadata") or {})
        endpoint = (meta.get("Endpoints") or {}).get("docker") or {}
        return Context(
            name=str(meta["Name"]),
            host=str(endpoint.get("Host", "")),
            description=str(metadata.pop("Description", "")),
            skip_verify=bool(endpoint.get("SkipTLSVerify")),
            tls=tls,
            extra=metadata,
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("not the description of a context") from error


def check_name(name: str) -> str:
    """Return a name of a new context.

    Raises:
        ConfigError: reserved or malformed.
    """
    if name == DEFAULT:
        raise ConfigError('the context "default" is reserved', "choose another name")
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"invalid name of a context: {name[:60]!r}", "use letters, digits, and _ . + - after the first"
        )
    return name


class ContextStore:
    """All contexts of a user.

    Arguments:
        directory: Docker's; by default where the docker command looks.
    """

    def __init__(self, directory: Path | None = None, environ: Mapping[str, str] = os.environ) -> None:
        given = environ.get("DOCKER_CONFIG")
        self._directory = directory or (Path(given) if given else Path.home() / ".docker")
        self._environ = environ

    def meta_directory(self, name: str) -> Path:
        """Where a context's description is."""
        return self._directory / "contexts" / "meta" / _digest(name)

    def tls_directory(self, name: str) -> Path:
        """Where its certificates are."""
        return self._directory / "contexts" / "tls" / _digest(name)

    def list(self) -> list[Context]:
        """All contexts by name, the default one too; what cannot be read is left out."""
        found = [self.default()]
        root = self._directory / "contexts" / "meta"
        for path in root.iterdir() if root.is_dir() else ():
            try:
                found.append(self._load(path))
            except (OSError, ValueError):
                continue
        return sorted(found, key=lambda context: context.name)

    def default(self) -> Context:
        """The context of those who have none."""
        host = self._environ.get("DOCKER_HOST") or DEFAULT_HOST
        return Context(name=DEFAULT, host=host, description=DEFAULT_DESCRIPTION)

    def find(self, name: str) -> Context | None:
        """A context by name; None where there is none.

        Raises:
            ConfigError: its description is damaged.
        """
        if name == DEFAULT:
            return self.default()
        directory = self.meta_directory(name)
        try:
            return self._load(directory)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read context {name!r}: {error}", f"remove {directory}") from error

    def get(self, name: str) -> Context:
        """A context by name.

        Raises:
            HostError: there is none.
        """
        found = self.find(name)
        if found is None:
            raise HostError(f'context "{name}" does not exist', "see `atoll context ls`")
        return found

    def _load(self, directory: Path) -> Context:
        tls = self._directory / "contexts" / "tls" / directory.name / "docker"
        files = {path.name: path.read_bytes() for path in (tls.iterdir() if tls.is_dir() else ())}
        return parse_meta((directory / "meta.json").read_bytes(), files)

    def save(self, context: Context) -> None:
        """Write a context, its certificates first: no description ever names certificates that are not there."""
        check_name(context.name)
        tls = self.tls_directory(context.name)
        if tls.exists():
            shutil.rmtree(tls)
        if context.tls:
            (tls / "docker").mkdir(parents=True, mode=0o700)
            for name, data in context.tls.items():
                write_whole(tls / "docker" / name, data)
        directory = self.meta_directory(context.name)
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(directory / "meta.json", json.dumps(context.to_meta(), separators=(",", ":")).encode(), mode=0o644)

    def remove(self, name: str) -> None:
        """Remove a context."""
        shutil.rmtree(self.meta_directory(name))
        shutil.rmtree(self.tls_directory(name), ignore_errors=True)

    def current(self) -> str:
        """The context that the docker command uses: what the environment says counts more than the file."""
        named = self._environ.get("DOCKER_CONTEXT")
        if self._environ.get("DOCKER_HOST"):
            return DEFAULT
        return named or str(self._read_config().get("currentContext") or DEFAULT)

    def configured(self) -> str:
        """The context that the file names."""
        return str(self._read_config().get("currentContext") or DEFAULT)

    def use(self, name: str) -> None:
        """Write into Docker's settings which context to use, leaving all else in them as it is.

        Raises:
            ConfigError: they cannot be read; they are not touched.
        """
        config = self._read_config()
        config.pop("currentContext", None)
        if name != DEFAULT:
            config["currentContext"] = name
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / "config.json"
        # A link (settings kept elsewhere) stays one: what it leads to is replaced.
        write_whole(Path(os.path.realpath(path)), json.dumps(config, indent="\t").encode())

    def _read_config(self) -> dict[str, Any]:
        path = self._directory / "config.json"
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {path}: {error}", "repair the file") from error
        if not isinstance(found, dict):
            raise ConfigError(f"cannot read {path}: not an object", "repair the file")
        return found


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
