"""`atoll doctor`."""

from __future__ import annotations

import click

from .lazy import DockerCommand
from .render import out, print_json


@click.command(cls=DockerCommand)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="text or json.")
def doctor(format_: str) -> int:
    """Check this computer for what atoll needs.

    Every requirement is listed with what to do about it. The exit code is 1 when one is not met.
    """
    from dataclasses import asdict

    from ..machine.doctor import FAIL, examine

    findings = examine()
    if format_ == "json":
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            out(f"{finding.status:>4}  {finding.name}: {finding.detail}")
            if finding.hint:
                out(f"      hint: {finding.hint}")
    return int(any(finding.status == FAIL for finding in findings))
