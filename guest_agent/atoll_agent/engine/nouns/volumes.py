"""Volumes by name."""

from __future__ import annotations

import re
from typing import Any

from ...api.errors import AgentError, Kind, invalid
from ...linux.trees import tree_size
from ...volumes.store import Volume
from ..filters import is_true, matches_labels
from ..mount_points import texts_of
from ..volumes import Volumes

Json = dict[str, Any]
Filters = dict[str, list[str]]
_LIST, _PRUNE = {"name", "driver", "label", "label!", "dangling"}, {"label", "label!", "all"}


class VolumeNoun:
    """Volumes by name."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes, self._store = volumes, volumes.store

    def rows(self, filters: Filters) -> list[Json]:
        """Those that pass the filters, by name."""
        _check_filters(filters, _LIST)
        dangling = _one_truth(filters, "dangling")
        found = [volume for volume in self._store.all() if _matches(volume, filters)]
        if dangling is not None:
            found = [volume for volume in found if bool(self._store.holders(volume.name)) != dangling]
        return [volume.describe() for volume in found]

    def details(self, name: str) -> Json:
        """One of them."""
        return self._store.get(name).describe()

    def create(self, body: Json) -> Json:
        """Make one (or find it)."""
        for key in ("Name", "Driver"):
            if not isinstance(body.get(key) or "", str):
                raise invalid(f"invalid {key}: a string is expected")
        if body.get("ClusterVolumeSpec"):
            raise AgentError(Kind.UNAVAILABLE, "This node is not a swarm manager.")
        labels, options = texts_of(body, "Labels"), texts_of(body, "DriverOpts")
        return self._volumes.create(body.get("Name") or "", body.get("Driver") or "", labels, options).describe()

    def remove(self, name: str, *, force: bool) -> None:
        """Remove one; with `force` it need not be there."""
        if force and self._store.find(name) is None:
            return
        self._volumes.remove(name)

    def update(self, name: str) -> None:
        """Change one of a swarm's, which this engine never is part of."""
        raise AgentError(Kind.UNAVAILABLE, "volume update only valid for cluster volumes, but swarm is unavailable")

    def prune(self, filters: Filters) -> Json:
        """Remove those that no container uses; of those with a name only with `all`, of mounts none."""
        _check_filters(filters, _PRUNE)
        everything = bool(_one_truth(filters, "all"))
        removed, reclaimed = [], 0
        for volume in self._store.all():
            if volume.options or not matches_labels(volume.labels or {}, filters):
                continue
            if self._store.holders(volume.name) or not (everything or volume.anonymous):
                continue
            size = tree_size(volume.path)
            try:
                self._volumes.remove(volume.name)
            except AgentError:
                continue  # a container has taken it meanwhile
            removed.append(volume.name)
            reclaimed += size
        self._volumes.tell_pruned(reclaimed)
        return {"VolumesDeleted": removed, "SpaceReclaimed": reclaimed}


def _check_filters(filters: Filters, known: set[str]) -> None:
    if unknown := min(set(filters) - known, default=""):
        raise invalid(f"invalid filter '{unknown[:80]}'")


def _one_truth(filters: Filters, key: str) -> bool | None:
    """The value of a filter that is true or false; None where it is not given."""
    values = filters.get(key) or []
    if len(values) > 1:
        raise invalid(f"invalid filter '{key}={values}': only one value is expected")
    return is_true(values[0]) if values else None


def _matches(volume: Volume, filters: Filters) -> bool:
    if filters.get("driver") and "local" not in filters["driver"]:
        return False
    if filters.get("name") and not any(_is_named(volume.name, pattern) for pattern in filters["name"]):
        return False
    return matches_labels(volume.labels or {}, filters)


def _is_named(name: str, pattern: str) -> bool:
    """Docker's: a part of the name, or a regular expression."""
    if pattern in name:
        return True
    try:
        return len(pattern) <= 256 and bool(re.search(pattern, name))
    except (re.error, RecursionError):
        return False
