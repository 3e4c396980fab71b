"""From the packages we want to all the packages that takes.

A small resolver on purpose: it follows Depends and Pre-Depends, takes the first alternative that exists, and leaves
out what the recipe skips. Packages are only unpacked, so whatever serves their maintainer scripts can be skipped;
that nothing of substance is missing is proved later, by the libraries each ELF file asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from .deb822 import compare_versions, parse_paragraphs, version_key
from .errors import ImageError

_RELATION = re.compile(r"([a-z0-9][a-z0-9+.-]*)(?::\w+)?\s*(?:\(\s*(<<|<=|=|>=|>>)\s*([^)\s]+)\s*\))?\s*$")


@dataclass(frozen=True)
class Candidate:
    """A package as an index offers it.

    Attributes:
        archive: which of Debian's archives has it: `debian` or `debian-security`.
        filename: path below the archive's base.
    """

    name: str
    version: str
    archive: str
    filename: str
    size: int
    sha256: str
    depends: str
    provides: str


@dataclass(frozen=True)
class Relation:
    """One alternative of a dependency, such as `libc6 (>= 2.38)`."""

    name: str
    operator: str
    version: str

    def is_met_by(self, version: str) -> bool:
        """Whether that version will do."""
        if not self.operator:
            return True
        order = compare_versions(version, self.version)
        return {"<<": order < 0, "<=": order <= 0, "=": order == 0, ">=": order >= 0, ">>": order > 0}[self.operator]


def parse_index(text: str, archive: str) -> Iterator[Candidate]:
    """Read a Packages file."""
    for fields in parse_paragraphs(text):
        try:
            depends = [fields[key] for key in ("Pre-Depends", "Depends") if fields.get(key)]
            yield Candidate(
                fields["Package"],
                fields["Version"],
                archive,
                fields["Filename"],
                int(fields["Size"]),
                fields["SHA256"],
                ", ".join(depends),
                fields.get("Provides", ""),
            )
        except (KeyError, ValueError) as error:
            raise ImageError(f"package index of {archive}: damaged entry: {error}") from error


def parse_relations(text: str) -> list[list[Relation]]:
    """Read a Depends field: all of the outer list, any of each inner one."""
    groups = []
    for group in filter(None, (part.strip() for part in text.split(","))):
        alternatives = []
        for alternative in group.split("|"):
            match = _RELATION.match(alternative.strip())
            if match is None:
                raise ImageError(f"package index: cannot read dependency {alternative.strip()!r}")
            alternatives.append(Relation(match[1], match[2] or "", match[3] or ""))
        groups.append(alternatives)
    return groups


class Resolver:
    """Chooses the newest version of each package, over all indexes given."""

    def __init__(self, candidates: Iterable[Candidate], skip: Set[str]) -> None:
        self._newest: dict[str, Candidate] = {}
        self._providers: dict[str, list[str]] = {}
        self._skip = skip
        for candidate in candidates:
            present = self._newest.get(candidate.name)
            if present is None or compare_versions(candidate.version, present.version) > 0:
                self._newest[candidate.name] = candidate
            for group in parse_relations(candidate.provides) if candidate.provides else []:
                self._providers.setdefault(group[0].name, []).append(candidate.name)

    def find_newest_name(self, pattern: str) -> str:
        """The name of the newest package whose name matches; kernels carry their version in their name."""
        names = [candidate for name, candidate in self._newest.items() if re.fullmatch(pattern, name)]
        if not names:
            raise ImageError(f"no package matches {pattern}")
        return max(names, key=lambda candidate: version_key(candidate.version)).name

    def resolve(self, roots: Iterable[str]) -> Mapping[str, Candidate]:
        """All packages needed for `roots`, by name."""
        chosen: dict[str, Candidate] = {}
        waiting = list(roots)
        while waiting:
            name = waiting.pop()
            if name in chosen:
                continue
            if name not in self._newest:
                raise ImageError(f"no package {name}")
            chosen[name] = self._newest[name]
            for group in parse_relations(chosen[name].depends):
                needed = self._choose(group, name)
                if needed is not None:
                    waiting.append(needed)
        return dict(sorted(chosen.items()))

    def _choose(self, group: list[Relation], wanted_by: str) -> str | None:
        """The package that meets one dependency, or None if the recipe skips it."""
        if any(relation.name in self._skip for relation in group):
            return None
        for relation in group:
            candidate = self._newest.get(relation.name)
            if candidate is not None and relation.is_met_by(candidate.version):
                return relation.name
            providers = self._providers.get(relation.name, [])
            if providers and not relation.operator:
                return sorted(providers)[0]
        wanted = " | ".join(f"{r.name} {r.operator} {r.version}".strip() for r in group)
        raise ImageError(f"{wanted_by} needs {wanted}, which no index has")
