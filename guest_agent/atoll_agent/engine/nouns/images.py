"""Images by reference or id."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import IO, Any

from ...api.errors import AgentError, Kind, invalid, not_found
from ...images.build import plan_import
from ...images.instructions import apply_changes
from ...images.platform import NATIVE, Platform, matches_platform, parse_platform
from ...images.reference import parse_reference
from ...images.removal import Removal, User
from ...images.save import choose, plan_archive, write_archive
from ...images.store import Image, ImageStore
from ..containers import Containers
from ..events import Events
from ..filters import is_true
from ..image_filters import LIST_FILTERS, PRUNE_FILTERS, Filters, check_filters, image_matches, matches_reference
from ..inspect import image_details, image_history, image_row
from ..usage import shared_sizes

Json = dict[str, Any]


class ImageNoun:
    """Images by reference or id."""

    def __init__(self, images: ImageStore, containers: Containers, events: Events) -> None:
        self._images, self._containers, self._events = images, containers, events

    # -- looking -----------------------------------------------------------------------------

    def rows(self, filters: Filters, *, everything: bool = True, shared_size: bool = False) -> list[Json]:
        """Rows of a list, newest first; without `everything` not those from which others were committed."""
        check_filters(filters, LIST_FILTERS)
        moments: dict[str, list[int]] = {
            key: [self._created(name) for name in filters[key]] for key in ("before", "since") if key in filters
        }
        used = [container.image_id for container in self._containers.all()]
        shared = shared_sizes(self._containers) if shared_size else {}
        rows = []
        for image in self._images.list_images():
            row = image_row(image, self._images, used.count(image.id)) | (
                {"SharedSize": shared.get(image.id, 0)} if shared_size else {}
            )
            if patterns := filters.get("reference"):  # an image shows only the names that were asked for
                row["RepoTags"] = [name for name in row["RepoTags"] if matches_reference(name, patterns)]
                row["RepoDigests"] = [name for name in row["RepoDigests"] if matches_reference(name, patterns)]
                if not (row["RepoTags"] or row["RepoDigests"]):
                    continue
            hidden = not (everything or row["RepoTags"] or row["RepoDigests"])
            if hidden and self._images.children_of(image.id):
                continue
            if image_matches(row, filters, moments):
                rows.append(row)
        return rows

    def _created(self, name: str) -> int:
        return int(image_row(self._images.get(name), self._images, 0)["Created"])

    def details(self, name: str) -> Json:
        """Everything about one."""
        return image_details(self._images.get(name), self._images)

    def history(self, name: str) -> list[Json]:
        """How it was made, newest first."""
        return image_history(self._images.get(name), self._images)

    # -- coming and going --------------------------------------------------------------------

    def load(self, source: IO[bytes], platform: str) -> Iterator[str]:
        """Import an archive; yields what to tell the user."""
        return self._load(source, parse_platform(platform))

    def _load(self, source: IO[bytes], platform: Platform | None) -> Iterator[str]:
        for image, name in self._images.load(source, platform):
            self._events.publish("image", "load", image.id, self._attributes(image, name or image.id))
            yield f"Loaded image: {name}" if name else f"Loaded image ID: {image.id}"

    def save(self, names: list[str], platform: str) -> Iterator[bytes]:
        """An archive of images; what can be known to be wrong with it is raised before the first part is taken."""
        wanted = parse_platform(platform)
        chosen = choose(self._images, names)
        for image, _ in chosen.values():
            if wanted and not matches_platform(wanted, image.config):
                raise not_found(f"no suitable export target found for platform {wanted}")
        members = plan_archive(self._images, chosen)
        for image, _ in chosen.values():
            self._events.publish("image", "save", image.id, self._attributes(image, image.id))
        return write_archive(self._images, members)

    def import_root(
        self, source: IO[bytes], *, repository: str, tag: str, message: str, changes: list[str], platform: str
    ) -> str:
        """Make an image of one layer out of an archive of a root file system; returns its id."""
        reference = str(parse_reference(f"{repository}:{tag}" if tag else repository)) if repository else ""
        if "@" in reference:
            raise invalid("cannot import digest reference")
        config = apply_changes({}, changes)
        target = parse_platform(platform) or NATIVE
        if target.os != "linux":
            raise invalid(f"operating system is not supported: {target.os}")
        with self._images.layers.staging() as staging:
            layer = self._images.unpack(source, staging)
            raw = plan_import(config, layer.digest, target, message, time.time_ns())
            image = self._images.create(raw, [layer], staging)
        if reference:
            self.tag(image.id, reference, "")
        self._events.publish("image", "import", image.id, self._attributes(image, image.id))
        return image.id

    def present(self, name: str, platform: str) -> str:
        """The name of an image that is here already, in full; there is no registry to ask for another.

        Raises:
            AgentError: it is not here.
        """
        reference, wanted = str(parse_reference(name)), parse_platform(platform)
        image = self._images.find(name)
        if image is None or (wanted and not matches_platform(wanted, image.config)):
            raise AgentError(
                Kind.NOT_IMPLEMENTED, f"{reference} is not here, and pulling is not supported by this version of Atoll"
            )
        return reference

    def tag(self, name: str, repository: str, tag: str) -> None:
        """Give one another name."""
        reference = self._images.tag(name, repository, tag)
        image = self._images.get(reference)
        self._events.publish("image", "tag", image.id, self._attributes(image, reference))

    def remove(self, name: str, *, force: bool, prune: bool) -> list[Json]:
        """Untag or delete one."""
        return list(self._remove(name, force=force, prune=prune))

    def _remove(self, name: str, *, force: bool, prune: bool) -> list[dict[str, str]]:
        users = [User(c.id, c.image_id, c.running) for c in self._containers.all()]
        labels = {image.id: image.run_config.get("Labels") or {} for image in self._images.list_images()}
        removal = Removal(self._images, users, force=force, prune=prune)
        try:
            return removal.remove(name)
        finally:
            for action, ids in (("untag", removal.untagged), ("delete", removal.deleted)):
                for image_id in ids:
                    self._events.publish("image", action, image_id, {**labels[image_id], "name": image_id})

    def prune(self, filters: Filters) -> Json:
        """Remove those without a name, or (`dangling=false`) all that no container uses."""
        check_filters(filters, PRUNE_FILTERS)
        dangling = is_true((filters.get("dangling") or ["true"])[0])
        sizes = {layer: self._images.layers.size(layer) for layer in self._images.layers.all()}
        rows: list[dict[str, str]] = []
        for image in self._images.list_images():
            row = image_row(image, self._images, 0)
            if (dangling and row["RepoTags"]) or not image_matches(row, {**filters, "dangling": []}):
                continue
            for name in self._images.references_of(image.id) or [image.id]:
                try:
                    rows += self._remove(name, force=False, prune=True)
                except AgentError as error:  # in use, or gone with another
                    if error.kind not in (Kind.CONFLICT, Kind.NOT_FOUND):
                        raise
        reclaimed = sum(sizes.get(row.get("Deleted", ""), 0) for row in rows)
        self._events.publish("image", "prune", "", {"reclaimed": str(reclaimed)})
        return {"ImagesDeleted": rows or None, "SpaceReclaimed": reclaimed}

    @staticmethod
    def _attributes(image: Image, name: str) -> dict[str, str]:
        return {**(image.run_config.get("Labels") or {}), "name": name}
