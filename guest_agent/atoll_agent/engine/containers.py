"""The containers of one engine: making, finding, listing and removing them. Their running life is in `lifecycle`."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..api.errors import conflict, invalid, not_found
from ..cgroups.hierarchy import Hierarchy, parts_of
from ..cgroups.limits import plan_limits
from ..images.store import NATIVE_ARCHITECTURE, ImageStore
from ..network.networks import Networks
from ..runtime.spec import MountSpec
from . import confinement
from .create import check_request, fill_host_config, merge_config
from .devices import check_requests, parse_rule
from .endpoints import plan_endpoints
from .events import Events
from .links import parse_link
from .log_drivers import plan_log
from .mounts import plan_asked, plan_points
from .names import check_name, generate_name
from .plan import parse_security, plan_rlimits
from .ports import plan_bindings
from .records import REMOVING, RESTARTING, Container, RecordStore
from .settings import warn_of
from .sharing import donor_of, resolve_modes
from .volumes import Volumes


@dataclass(frozen=True)
class Created:
    """Answer to a create request."""

    container: Container
    warnings: list[str]


class Containers:
    """The register. Thread-safe; `lock` guards names and ids, each container has a lock of its own for its life."""

    def __init__(
        self,
        store: RecordStore,
        images: ImageStore,
        volumes: Volumes,
        networks: Networks,
        hierarchy: Hierarchy,
        events: Events,
    ) -> None:
        self.store, self.images, self.volumes = store, images, volumes
        self._networks = networks
        self.hierarchy, self._events = hierarchy, events
        self.lock = threading.RLock()
        self._by_id: dict[str, Container] = {}
        self._by_name: dict[str, str] = {}
        for container in store.load_all():
            self._by_id[container.id] = container
            self._by_name[container.name] = container.id
            volumes.hold(container)
        images.held = lambda: {directory for container in self.all() for directory in container.layers}

    # -- finding -----------------------------------------------------------------------------

    def all(self) -> list[Container]:
        """Every container, newest first."""
        with self.lock:
            return sorted(self._by_id.values(), key=lambda container: container.created_ns, reverse=True)

    def get(self, name: str) -> Container:
        """By id, name, or unambiguous beginning of an id.

        Raises:
            AgentError: none, or several.
        """
        with self.lock:
            if name in self._by_id:
                return self._by_id[name]
            plain = name.removeprefix("/")
            if plain in self._by_name:
                return self._by_id[self._by_name[plain]]
            found = [c for id_, c in self._by_id.items() if id_.startswith(name)] if name else []
        if len(found) == 1:
            return found[0]
        if found:
            raise invalid(f"Multiple IDs found with provided prefix: {name}")
        raise not_found(f"No such container: {name}")

    def find(self, container_id: str) -> Container | None:
        """By full id; None where there is none."""
        with self.lock:
            return self._by_id.get(container_id)

    # -- making ------------------------------------------------------------------------------

    def create(self, body: dict[str, Any], name: str, platform: str) -> Created:
        """Make a container from a create request.

        Raises:
            AgentError: anything that would make it fail later is said now.
        """
        config, host, endpoints = check_request(body)
        image_name = str(config.get("Image") or "")
        if not image_name:
            raise invalid("no image specified")
        image = self.images.get(image_name)
        wanted = platform.split("/")[1] if "/" in platform else ""
        if wanted and image.architecture and wanted != image.architecture:
            raise not_found(
                f"image with reference {image_name} was found but does not match the specified platform: "
                f"wanted {platform}, actual: linux/{image.architecture}"
            )
        container_id = secrets.token_hex(32)
        host = resolve_modes(fill_host_config(host), config, self.get)
        merged = merge_config(config, image, container_id)
        if donor_of(host):
            merged["Hostname"] = self.get(donor_of(host)).config["Hostname"]
        self._check_plan(merged, host)
        container = Container(
            id=container_id,
            name="",
            created_ns=time.time_ns(),
            image=image_name,
            image_id=image.id,
            layers=self.images.layer_directories(image),
            config=merged,
            host_config=host,
            endpoints=plan_endpoints(host, endpoints, self._networks),
        )
        self._register(container, name)
        try:
            if self.images.find(image.id) is None:  # from now on its layers stay, but they may have gone just before
                raise not_found(f"No such image: {image_name}")
            maker = self.volumes.maker(container_id)
            container.mounts = plan_points(merged, host, maker, lambda other: self.get(other).mounts)
            self.volumes.fill(container)
            self.store.create(container)
        except BaseException:
            self._unregister(container)
            self.volumes.release(container, anonymous=True)
            self.store.remove(container.id)
            raise
        self._events.publish("container", "create", container.id, attributes_of(container))
        return Created(container, self._warnings(image.architecture) + warn_of(host))

    def _check_plan(self, config: dict[str, Any], host: dict[str, Any]) -> None:
        """Whatever can be known to be wrong before a start."""
        plan_limits(host, self.hierarchy)
        plan_rlimits(host)
        plan_bindings(config, host)
        for link in host.get("Links") or []:
            self.get(parse_link(link)[0])
        parse_security(host.get("SecurityOpt") or [])
        plan_log(host, self.store.root)
        parts_of(str(host.get("CgroupParent") or ""))
        check_requests(host)
        for rule in host.get("DeviceCgroupRules") or []:
            parse_rule(rule)
        confinement.plan_capabilities(host.get("CapAdd") or [], host.get("CapDrop") or [], privileged=False)

    @staticmethod
    def _warnings(architecture: str) -> list[str]:
        if architecture and architecture != NATIVE_ARCHITECTURE:
            return [
                f"The requested image's platform (linux/{architecture}) does not match the detected host platform "
                f"(linux/{NATIVE_ARCHITECTURE}) and no specific platform was requested"
            ]
        return []

    def _register(self, container: Container, name: str) -> None:
        with self.lock:
            if name:
                container.name = check_name(name)
                if container.name in self._by_name:
                    raise conflict(
                        f'Conflict. The container name "/{container.name}" is already in use by container '
                        f'"{self._by_name[container.name]}". You have to remove (or rename) that container to be able '
                        "to reuse that name."
                    )
            else:
                container.name = generate_name()
                while container.name in self._by_name:
                    container.name = f"{generate_name()}{secrets.randbelow(10)}"
            self._by_id[container.id] = container
            self._by_name[container.name] = container.id

    def _unregister(self, container: Container) -> None:
        with self.lock:
            self._by_id.pop(container.id, None)
            if self._by_name.get(container.name) == container.id:
                del self._by_name[container.name]

    def rename(self, container: Container, name: str) -> None:
        """Give a container another name.

        Raises:
            AgentError: invalid or taken.
        """
        new = check_name(name)
        with self.lock:
            if new in self._by_name:
                raise conflict(
                    f'Conflict. The container name "/{new}" is already in use by container "{self._by_name[new]}". '
                    "You have to remove (or rename) that container to be able to reuse that name."
                )
            old, container.name = container.name, new
            del self._by_name[old]
            self._by_name[new] = container.id
        self.store.save_config(container)
        self._events.publish("container", "rename", container.id, attributes_of(container) | {"oldName": f"/{old}"})

    # -- removing ----------------------------------------------------------------------------

    def remove(self, container: Container, *, volumes: bool) -> None:
        """Remove a container that does not run.

        Raises:
            AgentError: it runs.
        """
        with container.lock:
            if container.removed:
                raise not_found(f"No such container: {container.id}")
            if container.running or container.state.status == RESTARTING:
                raise conflict(
                    f"cannot remove container {container.name!r}: container is running: stop the container before "
                    "removing or force remove"
                )
            container.state.status = REMOVING
            self.store.remove(container.id)
            self._unregister(container)
            container.removed = True
        if self.images.find(container.image_id) is None:
            self.images.release(container.layers)
        self.volumes.release(container, anonymous=volumes)
        with container.changed:
            container.changed.notify_all()
        self._events.publish("container", "destroy", container.id, attributes_of(container))

    def publish(self, action: str, container: Container, attributes: dict[str, str]) -> None:
        """Tell that something happened to a container."""
        self._events.publish("container", action, container.id, attributes)

    def prune_told(self, freed_bytes: int) -> None:
        """Tell that containers that did not run have been removed."""
        self._events.publish("container", "prune", "", {"reclaimed": str(freed_bytes)})

    def cgroup_of(self, container: Container) -> Path | None:
        """The directory of its cgroup; None on a host without cgroup v2."""
        return self.hierarchy.directory_for(container.id, str(container.host_config.get("CgroupParent") or ""))

    def images_in_use(self) -> dict[str, str]:
        """Image id to the short id of a container made from it."""
        used: dict[str, str] = {}
        for container in self.all():
            mounted = [point["Spec"]["Source"] for point in container.mounts if point["Type"] == "image"]
            used |= dict.fromkeys([container.image_id, *mounted], container.id[:12])
        return used

    def plan_mounts(self, container: Container) -> list[MountSpec]:
        """What its user asked to be mounted.

        Raises:
            AgentError: an image is not there any more.
        """
        points = [
            point | {"Source": self.volumes.source_of(point)} if point["Type"] == "bind" else point
            for point in container.mounts
        ]
        tmpfs = container.host_config.get("Tmpfs") or {}
        return plan_asked(points, tmpfs, lambda image: self.images.layer_directories(self.images.get(image)))


def attributes_of(container: Container) -> dict[str, str]:
    """What events say of a container."""
    return {**container.config.get("Labels", {}), "image": container.image, "name": container.name}
