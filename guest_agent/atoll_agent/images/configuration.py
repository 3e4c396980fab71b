"""What a stranger's image configuration must look like before anything reads it."""

from __future__ import annotations

from typing import Any

_INHERITED = {
    "Env": list, "Cmd": list, "Entrypoint": list, "OnBuild": list, "Shell": list, "Labels": dict, "Volumes": dict,
    "ExposedPorts": dict, "Healthcheck": dict, "User": str, "WorkingDir": str, "StopSignal": str,
}  # fmt: skip


def check_inherited(config: dict[str, Any]) -> None:
    """Raise TypeError where a stranger's configuration would be a surprise to whoever reads it later."""
    run = config.get("config") or {}
    for name, kind in _INHERITED.items():
        value = run.get(name)
        if value is not None and not isinstance(value, kind):
            raise TypeError(name)
        texts: list[Any] = value if isinstance(value, list) else [value] if isinstance(value, str) else []
        if not all(isinstance(text, str) and "\0" not in text for text in texts):
            raise TypeError(name)
    if not all(isinstance(label, str) for label in (run.get("Labels") or {}).values()):
        raise TypeError("Labels")
    if not all(isinstance(step, dict) for step in config.get("history") or []):
        raise TypeError("history")
