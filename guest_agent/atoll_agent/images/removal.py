"""Removing images by Docker's rules: what is only untagged, what is deleted, and what must be forced or cannot be."""

from __future__ import annotations

from dataclasses import dataclass

from ..api.errors import AgentError, Kind, conflict
from .store import Image, ImageStore


@dataclass(frozen=True)
class User:
    """A container that was made from an image.

    Attributes:
        id: the container's.
        image_id: the image's.
        running: whether it runs.
    """

    id: str
    image_id: str
    running: bool


class Removal:
    """One request to remove an image.

    Attributes:
        untagged: names that went, with the id of their image.
        deleted: images and layers that went, in order.
    """

    def __init__(self, store: ImageStore, users: list[User], *, force: bool, prune: bool) -> None:
        self._store, self._users = store, users
        self._force, self._prune = force, prune
        self.rows: list[dict[str, str]] = []
        self.untagged: list[str] = []
        self.deleted: list[str] = []

    def remove(self, name: str) -> list[dict[str, str]]:
        """Untag or delete; returns `{"Untagged": ...}` and `{"Deleted": ...}` rows.

        Raises:
            AgentError: there is none, or it is in use and must be forced, or cannot be.
        """
        with self._store.lock:
            image = self._store.get(name)
            if not _is_id(image.id, name):
                quiet = self._remove_name(image, name)
                if quiet is None:
                    return self.rows
                self._delete(image, self._force, quiet=True)
            else:
                if _is_single(self._store.references_of(image.id)):
                    self._check(image, names=False, stopped=not self._force)
                    for reference in self._store.references_of(image.id):
                        self._untag(image, reference)
                self._delete(image, self._force, quiet=False)
        return self.rows

    def _remove_name(self, image: Image, name: str) -> bool | None:
        """Take one name away; None when others are left, so that this was all."""
        names = self._store.references_of(image.id)
        if not self._force and _is_single(names):
            user = next((user for user in self._users if user.image_id == image.id), None)
            if user:
                raise conflict(
                    f'conflict: unable to remove repository reference "{name}" (must force) - container '
                    f"{user.id[:12]} is using its referenced image {image.id[7:19]}"
                )
        reference = self._store.find_reference(name)
        assert reference is not None  # it was found by it, under the same lock
        self._untag(image, reference)
        left = self._store.references_of(image.id)
        if "@" not in reference:
            repository = _repository(reference)
            same = [other for other in left if _repository(other) == repository]
            if all("@" in other for other in same):  # digests of a repository go with its last tag
                for other in same:
                    self._untag(image, other, event=False)
        return None if self._store.references_of(image.id) else True

    def _untag(self, image: Image, reference: str, *, event: bool = True) -> None:
        self._store.untag(reference)
        self.rows.append({"Untagged": reference})
        if event:
            self.untagged.append(image.id)

    def _delete(self, image: Image, force: bool, *, quiet: bool) -> None:
        try:
            self._check(image, names=not force, stopped=not force)
        except Conflict as error:
            dangling = not self._store.references_of(image.id)
            if quiet and (not dangling or error.used):
                return
            raise
        parent = (
            self._store.find(self._store.note_of(image.id).parent) if self._store.note_of(image.id).parent else None
        )
        for reference in self._store.references_of(image.id):
            self._untag(image, reference)
        layers = self._store.delete(image)
        self.deleted.append(image.id)
        self.rows += [{"Deleted": digest} for digest in (image.id, *layers)]
        if self._prune and parent:
            self._delete(parent, False, quiet=True)

    def _check(self, image: Image, *, names: bool, stopped: bool) -> None:
        if self._store.children_of(image.id):
            raise Conflict(image, "image has dependent child images", hard=True)
        users = [user for user in self._users if user.image_id == image.id]
        for user in users:
            if user.running:
                text = f"image is being used by running container {user.id[:12]}"
                raise Conflict(image, text, hard=True, used=True)
        if names and self._store.references_of(image.id):
            raise Conflict(image, "image is referenced in multiple repositories")
        if stopped and users:
            raise Conflict(image, f"image is being used by stopped container {users[0].id[:12]}", used=True)


class Conflict(AgentError):
    """An image cannot go, or must be forced to."""

    def __init__(self, image: Image, reason: str, *, hard: bool = False, used: bool = False) -> None:
        how = "cannot be forced" if hard else "must be forced"
        super().__init__(Kind.CONFLICT, f"conflict: unable to delete {image.id[7:19]} ({how}) - {reason}")
        self.used = used


def _is_id(image_id: str, name: str) -> bool:
    return image_id.startswith(name) or image_id[7:].startswith(name)


def _repository(reference: str) -> str:
    name = reference.partition("@")[0]
    return name if "@" in reference else name.rpartition(":")[0]


def _is_single(references: list[str]) -> bool:
    """Whether all names are of one repository, with at most one tag; False without names."""
    tags = [name for name in references if "@" not in name]
    digests = {_repository(name) for name in references if "@" in name}
    if len(references) <= 1:
        return len(references) == 1
    if len(tags) > 1:
        return False
    main = tags[0] if tags else references[0]
    return digests == {_repository(main)}
