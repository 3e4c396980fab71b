"""What can go wrong in the engine, by meaning, and how the wire says it.

AgentError(kind, message)
    kind      one of `Kind`, chosen where the meaning is known
    status    the HTTP status of the kind, from one table
    message   lower case, names the thing; sent as Docker's `{"message": ...}`
"""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """The meaning of an error; the value is its HTTP status."""

    NOT_MODIFIED = 304
    INVALID = 400
    FORBIDDEN = 403
    NOT_FOUND = 404
    NOT_ACCEPTABLE = 406
    CONFLICT = 409
    TOO_LARGE = 413
    HEADERS_TOO_LARGE = 431
    SYSTEM = 500
    NOT_IMPLEMENTED = 501
    UNAVAILABLE = 503


class AgentError(Exception):
    """An error that is told to the client as it is."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status that carries this error."""
        return self.kind.value


def invalid(message: str) -> AgentError:
    """The request makes no sense; sending it again will not help."""
    return AgentError(Kind.INVALID, message)


def not_found(message: str) -> AgentError:
    """What the request names does not exist."""
    return AgentError(Kind.NOT_FOUND, message)


def conflict(message: str) -> AgentError:
    """The thing exists, but its state forbids the request."""
    return AgentError(Kind.CONFLICT, message)
