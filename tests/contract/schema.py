"""Docker's own description of its API (Swagger 2.0) as a judge of answers."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

NULL_IN_TRUTH = (("get", "/exec/{id}/json", "ExitCode"),)
"""What dockerd answers null for, although its description knows numbers only: an exec that runs has no exit code."""

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "docker-engine-api.yaml"


def find_schema() -> Path | None:
    """The file: named by ATOLL_API_SCHEMA, or beside the checkout; it is Docker's and not part of it."""
    path = Path(os.environ.get("ATOLL_API_SCHEMA") or BESIDE)
    return path if path.exists() else None


class Schema:
    """Says what is wrong with an answer."""

    def __init__(self, path: Path) -> None:
        self._whole = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        for method, path, name in NULL_IN_TRUTH:
            answer = self._whole["paths"][path][method]["responses"][200]["schema"]
            answer["properties"][name]["x-nullable"] = True
        self._definitions = {name: _convert(value) for name, value in self._whole["definitions"].items()}

    def operations(self) -> list[tuple[str, str]]:
        """Every method and path."""
        return [(method.upper(), path) for path, found in self._whole["paths"].items() for method in found]

    def problems(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """What is wrong with an answer; empty when it is as described.

        Arguments:
            path: as the description has it, with names in braces.
        """
        responses = self._whole["paths"][path][method.lower()]["responses"]
        described = responses.get(str(status), responses.get(status))
        if described is None:
            return [f"status {status} is not among {sorted(map(str, responses))}"]
        if "schema" not in described:
            return []
        schema = {**_convert(described["schema"]), "definitions": self._definitions}
        found = jsonschema.Draft4Validator(schema).iter_errors(body)
        return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in found]

    def find(self, method: str, path: str) -> str:
        """The described path that a path stands for."""
        for wanted, described in self.operations():
            pattern = re.sub(r"\{[^}]+\}", "[^/]+", described)
            if wanted == method and re.fullmatch(pattern, path):
                return described
        raise LookupError(f"{method} {path} is not described")


def _convert(value: Any) -> Any:
    """Swagger's dialect as JSON Schema: what may be null says so in a word of its own, and Go's empty lists and maps
    are null without a word."""
    if isinstance(value, list):
        return [_convert(item) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _convert(item) for key, item in value.items() if key not in ("example", "x-nullable", "format")}
    kind = plain.get("type")
    if isinstance(kind, str) and (value.get("x-nullable") or kind in ("array", "object")):
        plain["type"] = [kind, "null"]
        if "enum" in plain:
            plain["enum"] = [*plain["enum"], None]
    if value.get("x-nullable") and ("$ref" in plain or "allOf" in plain):
        return {"anyOf": [plain, {"type": "null"}]}
    if "$ref" in plain:  # a reference to a list or map may be null, too
        return {"anyOf": [{"$ref": plain["$ref"]}, {"type": "null"}]}
    return plain
