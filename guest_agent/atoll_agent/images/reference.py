"""Image references, normalised as Docker does (distribution/reference): `alpine` is docker.io/library/alpine:latest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..api.errors import invalid

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_DOMAIN_RE = re.compile(_DOMAIN)
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_WHOLE_ID = re.compile(r"[0-9a-f]{64}")
_HEX_ID = re.compile(r"(?:sha256:)?[0-9a-f]{1,64}")
DEFAULT_DOMAIN = "docker.io"
MAX_NAME = 255


@dataclass(frozen=True)
class Reference:
    """A name in a registry with a tag, a digest, or both.

    Attributes:
        domain: registry host (`docker.io`).
        path: repository (`library/alpine`).
        tag: "" when only a digest was given.
        digest: "" or `sha256:...`.
    """

    domain: str
    path: str
    tag: str
    digest: str = ""

    @property
    def repository(self) -> str:
        """The name as people write it: without Docker Hub's domain and `library/`."""
        if self.domain != DEFAULT_DOMAIN:
            return f"{self.domain}/{self.path}"
        return self.path.removeprefix("library/")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """Parse and normalise a reference; without tag and digest the tag is `latest`.

    Raises:
        AgentError: invalid, in Docker's words.
    """
    if _WHOLE_ID.fullmatch(text):
        raise invalid("invalid reference format: a name cannot be 64 hexadecimal digits")
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise invalid("invalid reference format")
    name, tag = rest, ""
    if ":" in rest.rpartition("/")[2]:
        name, _, tag = rest.rpartition(":")
        if not _TAG.fullmatch(tag):
            raise invalid("invalid reference format")
    domain, path = _split_domain(name)
    if path.lower() != path and _PATH.fullmatch(path.lower()):
        raise invalid("invalid reference format: repository name (" + path + ") must be lowercase")
    if not _PATH.fullmatch(path) or not _DOMAIN_RE.fullmatch(domain) or len(domain) + len(path) > MAX_NAME:
        raise invalid("invalid reference format")
    return Reference(domain, path, tag or ("" if digest else "latest"), digest)


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        domain, path = first, rest
    else:
        domain, path = DEFAULT_DOMAIN, name
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    return domain, path


def looks_like_id(text: str) -> bool:
    """Whether the text could be (the beginning of) an image id."""
    return bool(_HEX_ID.fullmatch(text))
