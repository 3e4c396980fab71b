"""What can go wrong on the host. Only the command line prints it; everything else raises.

HostError(message, hint)
├── ConfigError             a setting or a file of settings makes no sense
├── DependencyMissing       a program or right that the computer does not have
├── MachineNotFound         no machine of that name
├── MachineExists           the name is taken
├── MachineState            the machine's state forbids it
├── BootError               the machine did not come up; carries the console's last lines
├── AgentUnreachable        nothing was sent: safe to try again
├── OutcomeUnknown          a request was sent and its answer lost: look before trying again
├── ApiError                the engine said no
└── ProtocolError           the other side does not speak what it should
"""

from __future__ import annotations


class HostError(Exception):
    """An error that a person is told.

    Attributes:
        message: what happened, to what; lower case.
        hint: what to do next; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(HostError):
    """A setting makes no sense."""


class DependencyMissing(HostError):
    """The computer lacks a program or a right."""


class MachineNotFound(HostError):
    """There is no machine of that name."""


class MachineExists(HostError):
    """The name is taken."""


class MachineState(HostError):
    """The machine's state forbids it."""


class BootError(HostError):
    """The machine did not come up.

    Attributes:
        console: the last lines of its console.
    """

    def __init__(self, message: str, hint: str = "", console: str = "") -> None:
        super().__init__(f"{message}\n{console}".rstrip() if console else message, hint)
        self.console = console


class AgentUnreachable(HostError):
    """Nothing was sent to the agent: it is safe to try again."""


class OutcomeUnknown(HostError):
    """A request was sent and its answer lost: look before trying again."""


class ApiError(HostError):
    """The engine refused.

    Attributes:
        status: its HTTP status.
    """

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


class ProtocolError(HostError):
    """The other side does not speak the protocol."""
