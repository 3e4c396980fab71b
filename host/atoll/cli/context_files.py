"""A context as a file: `context export` and `context import`, in Docker's form."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Iterator

from ..errors import ConfigError
from .context_store import Context, parse_meta

MAX_SIZE = 10 << 20
META = "meta.json"
TLS = ("tls", "docker")
ZIP_MARK = b"PK\3\4"


def format_archive(context: Context) -> bytes:
    """A context as a tar archive (pure)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, META, json.dumps(context.to_meta(), separators=(",", ":")).encode(), 0o644)
        _add_directory(tar, TLS[0])
        if context.tls:
            _add_directory(tar, "/".join(TLS))
        for name, data in sorted(context.tls.items()):
            _add(tar, "/".join((*TLS, name)), data, 0o600)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))


def _add_directory(tar: tarfile.TarFile, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o700
    tar.addfile(info)


def parse_archive(data: bytes) -> Context:
    """Read a context out of a tar or zip archive; nothing of it is extracted to a path of its choice (pure).

    Raises:
        ConfigError: too large, malformed, or with something else in it.
    """
    if len(data) > MAX_SIZE:
        raise ConfigError("the archive is too large for a context", "use what `context export` wrote")
    meta: bytes | None = None
    tls: dict[str, bytes] = {}
    try:
        for name, content in _zip_entries(data) if data.startswith(ZIP_MARK) else _tar_entries(data):
            parts = tuple(part for part in name.split("/") if part not in ("", "."))
            if parts == (META,):
                meta = content
            elif parts[:-1] == TLS and parts[-1] not in ("", "..") and "\\" not in parts[-1]:
                tls[parts[-1]] = content
            else:
                raise ConfigError(f"unexpected {name[:100]!r} in the archive of a context", "it is damaged or hostile")
        if meta is None:
            raise ConfigError("no context in the archive", f"it has no {META}")
        return parse_meta(meta, tls)
    except (tarfile.TarError, zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ConfigError(
            f"cannot read the archive of a context: {error}", "use what `context export` wrote"
        ) from error


def _tar_entries(data: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for member in tar:
            if member.isdir():
                continue
            file = tar.extractfile(member) if member.isreg() else None
            if file is None:
                raise ConfigError(f"unexpected {member.name[:100]!r} in the archive of a context", "links are refused")
            yield member.name, file.read(MAX_SIZE)


def _zip_entries(data: bytes) -> Iterator[tuple[str, bytes]]:
    left = MAX_SIZE
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            with archive.open(info) as file:
                content = file.read(left + 1)
            left -= len(content)
            if left < 0:
                raise ConfigError("the archive is too large for a context", "use what `context export` wrote")
            yield info.filename, content
