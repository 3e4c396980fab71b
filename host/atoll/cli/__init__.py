"""The command `atoll`.

app         the root command: global options, what is loaded for which command, errors and exit codes
render      the only place that prints
target      which engine a command speaks to
run, containers, execs, logs, ps, images, system, inspect
            the commands, each loaded only when it is called
options, values, request
            from Docker's flags to a create request
console/    terminal, keys, signals: what an attached command needs
machine, doctor
            the machines themselves
"""

from __future__ import annotations


def main() -> None:
    """Entry point of the `atoll` script."""
    import sys

    from .exits import leave
    from .quick import run_quickly

    args = sys.argv[1:]
    code = run_quickly(args)
    if code is None:
        from .app import run

        code = run(args)
    leave(code)
