"""`docker commit`: a container's own layer and settings as an image."""

from __future__ import annotations

import contextlib
import copy
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..api.errors import AgentError, conflict
from ..images.build import plan_child
from ..images.instructions import apply_changes
from ..images.layers import EMPTY_LAYER
from ..images.reference import parse_reference
from ..images.store import Image, ImageStore
from ..images.tar_tree import Source, pack_tree
from .changes import ENGINE_FILES
from .create import check_request
from .healthcheck import merge_healthcheck
from .records import REMOVING, Container

Config = dict[str, Any]


@dataclass(frozen=True)
class CommitRequest:
    """What is asked of a commit.

    Attributes:
        repository: name of the new image; "" for none.
        tag: its tag; "" for `latest`.
        comment: kept in its history.
        author: kept in it.
        pause: stop the container's processes meanwhile.
        changes: instructions of a Dockerfile.
        config: settings instead of the container's; None for the container's.
    """

    repository: str
    tag: str
    comment: str
    author: str
    pause: bool
    changes: list[str]
    config: Config | None


def merge_settings(given: Config, container: Config) -> Config:
    """Settings for the image, completed by the container's where they say nothing."""
    merged = copy.deepcopy(given)
    for key in ("User", "WorkingDir", "StopSignal"):
        merged[key] = given.get(key) or container.get(key) or ""
    for key in ("ExposedPorts", "Volumes", "Labels"):
        merged[key] = {**(container.get(key) or {}), **(given.get(key) or {})}
    names = {item.partition("=")[0] for item in given.get("Env") or []}
    inherited = [item for item in container.get("Env") or [] if item.partition("=")[0] not in names]
    merged["Env"] = [*(given.get("Env") or []), *inherited]
    if not given.get("Entrypoint"):
        if not given.get("Cmd"):
            merged["Cmd"] = container.get("Cmd")
        if given.get("Entrypoint") is None:
            merged["Entrypoint"] = container.get("Entrypoint")
    merged["Healthcheck"] = merge_healthcheck(given.get("Healthcheck"), container.get("Healthcheck"))
    return merged


def plan_settings(container: Config, request: CommitRequest) -> Config:
    """The settings of the new image.

    Raises:
        AgentError: a malformed change or setting.
    """
    given = container
    if request.config is not None:
        given, _, _ = check_request({"Image": "", **request.config})
    return merge_settings(apply_changes(given, request.changes), container)


def commit(
    container: Container,
    upper: Path,
    images: ImageStore,
    request: CommitRequest,
    paused: Callable[[Container], contextlib.AbstractContextManager[None]],
) -> Image:
    """Make the image; it is on disk when this returns, and has no name yet.

    Arguments:
        upper: the container's own directory.
        paused: stops its processes for a while.

    Raises:
        AgentError: a malformed request, or a container that is being removed.
    """
    if container.removed or container.state.status == REMOVING:
        raise conflict(f"You cannot commit container {container.id} which is being removed")
    settings = plan_settings(container.config, request)
    parent = images.get(container.image_id)
    with images.layers.staging() as staging:
        with paused(container) if request.pause else contextlib.nullcontext():
            own = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                archive = pack_tree(Source(own, "", "", layer=True, skipped=ENGINE_FILES))
                layer = images.layers.unpack_stream(archive, staging)
            finally:
                os.close(own)
        raw = plan_child(
            parent.config,
            settings,
            layer.digest,
            author=request.author,
            comment=request.comment,
            created_by=" ".join(container.config.get("Cmd") or []),
            now_ns=time.time_ns(),
        )
        new = [] if layer.digest == EMPTY_LAYER else [layer]
        return images.create(raw, new, staging, parent=parent.id)


def check_name(request: CommitRequest) -> str:
    """The whole name of the new image; "" for none.

    Raises:
        AgentError: malformed.
    """
    if not request.repository:
        return ""
    text = f"{request.repository}:{request.tag}" if request.tag else request.repository
    return str(parse_reference(text))


@contextlib.contextmanager
def pausing(
    container: Container, pause: Callable[[Container], None], unpause: Callable[[Container], None]
) -> Iterator[None]:
    """Stop a running container's processes for a while; one that cannot be stopped is taken as it runs."""
    stopped = False
    if container.running and not container.state.paused:
        with contextlib.suppress(AgentError):
            pause(container)
            stopped = True
    try:
        yield
    finally:
        if stopped:
            with contextlib.suppress(AgentError):
                unpause(container)
