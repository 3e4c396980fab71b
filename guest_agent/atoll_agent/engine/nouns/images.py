"""Images by reference or id."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from typing import IO, Any

from ...api.errors import invalid
from ...images.store import ImageStore
from ..containers import Containers
from ..events import Events
from ..inspect import image_details, image_row, parse_time

Json = dict[str, Any]


class ImageNoun:
    """Images by reference or id."""

    def __init__(self, images: ImageStore, containers: Containers, events: Events) -> None:
        self._images, self._containers, self._events = images, containers, events

    def rows(self, filters: dict[str, list[str]]) -> list[Json]:
        """Rows of a list, newest first."""
        used = [container.image_id for container in self._containers.all()]
        rows = [image_row(image, self._images, used.count(image.id)) for image in self._images.list_images()]
        if patterns := filters.get("reference"):
            for row in rows:  # an image shows only the names that were asked for
                row["RepoTags"] = [name for name in row["RepoTags"] if _matches_reference(name, patterns)]
        return [row for row in rows if _image_matches(row, filters)]

    def details(self, name: str) -> Json:
        """Everything about one."""
        return image_details(self._images.get(name), self._images)

    def history(self, name: str) -> list[Json]:
        """How it was made, newest first."""
        image = self._images.get(name)
        rows = []
        for item in reversed(image.config.get("history") or []):
            rows.append(
                {
                    "Id": "<missing>",
                    "Created": parse_time(str(item.get("created") or "")),
                    "CreatedBy": str(item.get("created_by") or ""),
                    "Tags": None,
                    "Size": 0,
                    "Comment": str(item.get("comment") or ""),
                }
            )
        if rows:
            rows[0] |= {"Id": image.id, "Tags": self._images.references_of(image.id)}
        return rows

    def load(self, source: IO[bytes]) -> Iterator[str]:
        """Import an archive."""
        for line in self._images.load(source):
            name = line.partition(": ")[2]
            self._events.publish("image", "load", self._images.get(name).id, {"name": name})
            yield line

    def tag(self, name: str, repository: str, tag: str) -> None:
        """Give one another name."""
        self._images.tag(name, repository, tag)
        self._events.publish("image", "tag", self._images.get(name).id, {"name": f"{repository}:{tag or 'latest'}"})

    def remove(self, name: str, *, force: bool) -> list[Json]:
        """Untag or delete one."""
        image = self._images.get(name)
        rows = self._images.remove(name, force=force, in_use=self._containers.images_in_use())
        for row in rows:
            action = "untag" if "Untagged" in row else "delete"
            self._events.publish("image", action, image.id, {"name": row.get("Untagged") or image.id})
        return list(rows)


def _image_matches(row: Json, filters: dict[str, list[str]]) -> bool:
    for key, wanted in filters.items():
        if key == "reference":
            if not row["RepoTags"]:
                return False
        elif key == "dangling":
            if wanted and (wanted[0].lower() in ("1", "true")) == bool(row["RepoTags"]):
                return False
        elif key == "label":
            have = set(row["Labels"]) | {f"{k}={v}" for k, v in row["Labels"].items()}
            if not set(wanted) <= have:
                return False
        else:
            raise invalid(f"invalid filter '{key}'")
    return True


def _matches_reference(name: str, patterns: list[str]) -> bool:
    """Whether a tag, or its repository, matches one of Docker's shell patterns."""
    forms = (name, name.rpartition(":")[0])
    return any(fnmatch.fnmatchcase(form, pattern) for form in forms for pattern in patterns)
