"""What takes space on disk: images, containers, volumes (`docker system df`, `docker ps --size`).

The size of a layer is known since it was unpacked; only what containers and volumes hold has to be walked.
"""

from __future__ import annotations

from typing import Any

from ..api.errors import invalid
from ..linux.trees import tree_size
from ..network.networks import Networks
from ..volumes.store import Volume, VolumeStore
from .containers import Containers
from .inspect import container_row, image_row
from .records import Container

Json = dict[str, Any]
KINDS = {"image": "Images", "container": "Containers", "volume": "Volumes", "build-cache": "BuildCache"}


def container_sizes(container: Container, containers: Containers) -> Json:
    """What a container has written, and that together with its image."""
    own = tree_size(containers.store.overlay(container.id) / "upper")
    layers = containers.images.layers
    below = sum(layers.size(layers.digest_of(directory)) for directory in container.layers)
    return {"SizeRw": own, "SizeRootFs": own + below}


def shared_sizes(containers: Containers) -> dict[str, int]:
    """Bytes of each image in layers that other images have, too."""
    images, layers = containers.images.list_images(), containers.images.layers
    count: dict[str, int] = {}
    for image in images:
        for layer in set(image.layers):
            count[layer] = count.get(layer, 0) + 1
    sizes = {layer: layers.size(layer) for layer in count}
    return {image.id: sum(sizes[layer] for layer in image.layers if count[layer] > 1) for image in images}


def describe_usage(containers: Containers, networks: Networks, volumes: VolumeStore, kinds: list[str]) -> Json:
    """`GET /system/df`.

    Arguments:
        kinds: of `image container volume build-cache`; none means all.

    Raises:
        AgentError: another kind.
    """
    unknown = next((kind for kind in kinds if kind not in KINDS), None)
    if unknown is not None:
        raise invalid(f"unknown object type: {unknown[:40]}")
    wanted = set(kinds or KINDS)
    images = containers.images
    usage: Json = dict.fromkeys(KINDS.values())
    if "image" in wanted:
        usage["Images"] = _images(containers)
        usage["LayersSize"] = sum(images.layers.size(layer) for layer in images.layers.all())
    if "container" in wanted:
        usage["Containers"] = [
            container_row(container, networks) | container_sizes(container, containers)
            for container in containers.all()
        ]
    if "volume" in wanted:
        usage["Volumes"] = [_volume(volume, volumes) for volume in volumes.all()]
    if "build-cache" in wanted:
        usage["BuildCache"] = []
    return usage


def _images(containers: Containers) -> list[Json]:
    shared = shared_sizes(containers)
    used = [container.image_id for container in containers.all()]
    return [
        image_row(image, containers.images, used.count(image.id)) | {"SharedSize": shared.get(image.id, 0)}
        for image in containers.images.list_images()
    ]


def _volume(volume: Volume, volumes: VolumeStore) -> Json:
    """One whose directory is not its own, such as a share, has no size here."""
    size = -1 if volume.options else tree_size(volume.path)
    return volume.describe() | {"UsageData": {"RefCount": len(volumes.holders(volume.name)), "Size": size}}
