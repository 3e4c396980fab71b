"""`atoll history`."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import click

from .lazy import DockerCommand, pass_target
from .render import human_duration, human_size, out
from .target import Target
from .template import print_list

COLUMNS = {
    "ID": "image",
    "CreatedSince": "created",
    "CreatedBy": "created_by",
    "Size": "size",
    "Comment": "comment",
}
PLAIN_COLUMNS = {("CreatedAt" if field == "CreatedSince" else field): heading for field, heading in COLUMNS.items()}
PLAIN_COLUMNS["CreatedAt"] = "created_at"
SHORT_STEP = 45
EPOCH_S = 946_684_800
"""Times before the year 2000 are those of nobody's clock: images are built with them to be the same every time."""


@click.command(cls=DockerCommand)
@click.option("-H", "--human/--no-human", default=True, help="Sizes and times for people (default).")
@click.option("--no-trunc", is_flag=True, help="Show ids and steps whole.")
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--format", metavar="FORMAT", help="json, or a template as '{{.ID}}: {{.CreatedBy}}'.")
@click.argument("image")
@pass_target
def history(target: Target, image: str, human: bool, no_trunc: bool, quiet: bool, format: str | None) -> None:
    """Show how an image was made, its last step first."""
    steps = target.engine().images.history(image)
    rows = [summarize(step, time.time(), trunc=not no_trunc, human=human) for step in steps]
    if quiet and format in (None, "table"):
        for row in rows:
            out(row["ID"])
        return
    print_list(rows, COLUMNS if human else PLAIN_COLUMNS, format, PLAIN_COLUMNS)


def summarize(step: dict[str, Any], now_s: float, *, trunc: bool, human: bool) -> dict[str, str]:
    """Make a row of a step, with Docker's field names (pure but for the time zone)."""
    created = int(step.get("Created", 0))
    moment = datetime.fromtimestamp(created).astimezone().isoformat()
    moment = moment.replace("+00:00", "Z")
    since = "N/A" if created <= EPOCH_S else f"{human_duration(now_s - created)} ago"
    identity, made_by = step.get("Id", ""), step.get("CreatedBy", "").replace("\t", " ")
    return {
        "ID": identity.partition(":")[2][:12] if trunc and ":" in identity else identity[:12] if trunc else identity,
        "CreatedAt": moment,
        "CreatedSince": since if human else moment,
        "CreatedBy": made_by if not trunc or len(made_by) <= SHORT_STEP else made_by[: SHORT_STEP - 1] + "…",
        "Size": human_size(step.get("Size", 0)) if human else str(step.get("Size", 0)),
        "Comment": step.get("Comment", ""),
    }
