"""The files of containers: copied in and out, exported, compared, committed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ...images.reference import parse_reference
from ..archives import Archives
from ..changes import find_changes
from ..commit import CommitRequest, check_name, commit, pausing
from ..containers import Containers, attributes_of
from ..events import Events
from ..lifecycle import Lifecycle
from ..views import Views

Json = dict[str, Any]


class FileNoun:
    """The files of containers by name."""

    def __init__(self, containers: Containers, lifecycle: Lifecycle, events: Events, mount_point: Path) -> None:
        self._containers, self._lifecycle, self._events = containers, lifecycle, events
        self._archives = Archives(Views(containers, mount_point))

    def stat(self, name: str, path: str) -> str:
        """The header that tells of a file."""
        return self._archives.stat(self._containers.get(name), name, path)

    def read(self, name: str, path: str) -> tuple[str, Iterator[bytes]]:
        """The header that tells of a file, and an archive of it with all below."""
        container = self._containers.get(name)
        found = self._archives.read(container, name, path)
        self._containers.publish("archive-path", container, attributes_of(container))
        return found

    def write(self, name: str, path: str, source: IO[bytes], *, keep_kinds: bool, own: bool) -> None:
        """Unpack an archive into a directory."""
        container = self._containers.get(name)
        self._archives.write(container, name, path, source, keep_kinds=keep_kinds, own=own)
        self._containers.publish("extract-to-dir", container, attributes_of(container))

    def export(self, name: str) -> Iterator[bytes]:
        """The whole root as an archive."""
        container = self._containers.get(name)
        parts = self._archives.export(container)
        self._containers.publish("export", container, attributes_of(container))
        return parts

    def changes(self, name: str) -> list[Json]:
        """What it has changed of its image."""
        container = self._containers.get(name)
        upper = self._containers.store.overlay(container.id) / "upper"
        return [{"Path": change.path, "Kind": change.kind} for change in find_changes(upper, container.layers)]

    def commit(self, name: str, query: Json, changes: list[str], body: Json | None) -> str:
        """Make an image of it; returns its id."""
        container, images = self._containers.get(name), self._containers.images
        request = CommitRequest(
            str(query["repo"]), str(query["tag"]), str(query["comment"]), str(query["author"]), bool(query["pause"]),
            changes, body,
        )  # fmt: skip
        reference = check_name(request)
        image = commit(
            container,
            self._containers.store.overlay(container.id) / "upper",
            images,
            request,
            lambda it: pausing(it, self._lifecycle.pause, self._lifecycle.unpause),
        )
        self._events.publish("image", "create", image.id, {"name": image.id})
        if reference:
            images.tag(image.id, str(parse_reference(reference)), "")
            self._events.publish("image", "tag", image.id, {"name": reference})
        told = {"comment": request.comment, "imageID": image.id, "imageRef": reference}
        self._containers.publish("commit", container, attributes_of(container) | told)
        return image.id
