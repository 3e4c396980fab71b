"""Configurations of images that are made here: of an imported root, and of a change on top of another image. Pure."""

from __future__ import annotations

import copy
import json
from typing import Any

from ..runtime.log_file import format_time
from .layers import EMPTY_LAYER
from .platform import NATIVE_ARCHITECTURE, Platform

_CONFIG = (
    "Hostname", "Domainname", "User", "AttachStdin", "AttachStdout", "AttachStderr", "ExposedPorts", "Tty",
    "OpenStdin", "StdinOnce", "Env", "Cmd", "Healthcheck", "ArgsEscaped", "Image", "Volumes", "WorkingDir",
    "Entrypoint", "NetworkDisabled", "OnBuild", "Labels", "StopSignal", "StopTimeout", "Shell",
)  # fmt: skip


def _pack(config: dict[str, Any]) -> bytes:
    return json.dumps(config, separators=(",", ":"), sort_keys=True).encode()


def plain_config(config: dict[str, Any]) -> dict[str, Any]:
    """A Config as an image keeps it: the fields Docker knows, without those that say nothing."""
    return {key: copy.deepcopy(config[key]) for key in _CONFIG if config.get(key) not in (None, "", False, {}, [])}


def plan_import(config: dict[str, Any], layer: str, platform: Platform, message: str, now_ns: int) -> bytes:
    """The configuration of an image of one layer that was imported."""
    created = format_time(now_ns)
    return _pack(
        {
            "architecture": platform.architecture,
            **({"variant": platform.variant} if platform.variant else {}),
            "os": platform.os,
            "created": created,
            "comment": message,
            "config": plain_config(config),
            "rootfs": {"type": "layers", "diff_ids": [layer]},
            "history": [{"created": created, "comment": message}],
        }
    )


def plan_child(
    parent: dict[str, Any],
    config: dict[str, Any],
    layer: str,
    *,
    author: str,
    comment: str,
    created_by: str,
    now_ns: int,
) -> bytes:
    """The configuration of an image that is another one's with a layer on top.

    Arguments:
        parent: the other one's configuration.
        config: what containers inherit.
        layer: digest of the new layer; one without entries is noted in the history only.
    """
    created = format_time(now_ns)
    step: dict[str, Any] = {"created": created, "created_by": created_by}
    if author:
        step["author"] = author
    if comment:
        step["comment"] = comment
    below = list(parent.get("rootfs", {}).get("diff_ids") or [])
    if layer == EMPTY_LAYER:
        step["empty_layer"] = True
    else:
        below.append(layer)
    kept: dict[str, Any] = {key: parent[key] for key in ("variant", "os.version", "os.features") if key in parent}
    return _pack(
        {
            **kept,
            "architecture": parent.get("architecture") or NATIVE_ARCHITECTURE,
            "os": parent.get("os") or "linux",
            "created": created,
            **({"author": author} if author else {}),
            **({"comment": comment} if comment else {}),
            "config": plain_config(config),
            "rootfs": {"type": "layers", "diff_ids": below},
            "history": [*(parent.get("history") or []), step],
        }
    )
