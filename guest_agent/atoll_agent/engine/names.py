"""Names for containers whose user gave none: `adjective_surname`, as Docker's, from lists of our own."""

from __future__ import annotations

import random
import re

from ..api.errors import invalid

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)
_ADJECTIVES = [
    "amber",
    "ample",
    "azure",
    "balmy",
    "brave",
    "breezy",
    "brisk",
    "calm",
    "clear",
    "coral",
    "cosy",
    "crisp",
    "deep",
    "eager",
    "early",
    "fair",
    "fleet",
    "fresh",
    "gentle",
    "glad",
    "golden",
    "grand",
    "happy",
    "humble",
    "jolly",
    "keen",
    "kind",
    "lively",
    "lucid",
    "lunar",
    "mellow",
    "merry",
    "misty",
    "neat",
    "nimble",
    "noble",
    "pearly",
    "placid",
    "proud",
    "quick",
    "quiet",
    "rapid",
    "sandy",
    "serene",
    "shady",
    "shiny",
    "silver",
    "sleek",
    "smooth",
    "snug",
    "solar",
    "steady",
    "still",
    "stout",
    "sunny",
    "swift",
    "tidal",
    "tidy",
    "vivid",
    "warm",
    "wavy",
    "wise",
]
_SURNAMES = [
    "agassiz",
    "anning",
    "banks",
    "bascom",
    "beebe",
    "bellard",
    "boole",
    "braun",
    "carson",
    "cerf",
    "church",
    "clarke",
    "cook",
    "cousteau",
    "curry",
    "darwin",
    "dewey",
    "earle",
    "ekman",
    "euler",
    "fourier",
    "franklin",
    "gauss",
    "goodall",
    "haeckel",
    "hamilton",
    "heezen",
    "hooke",
    "hopper",
    "humboldt",
    "huxley",
    "joule",
    "kelvin",
    "knuth",
    "lamarck",
    "lamport",
    "lander",
    "liskov",
    "lovelace",
    "mauchly",
    "maury",
    "maxwell",
    "mayr",
    "merian",
    "nansen",
    "newton",
    "noether",
    "owen",
    "perlman",
    "piccard",
    "pike",
    "ritchie",
    "rossby",
    "russell",
    "stommel",
    "sverdrup",
    "thompson",
    "torvalds",
    "tharp",
    "turing",
    "ventner",
    "wallace",
    "wirth",
    "zuse",
]


def generate_name() -> str:
    """A random name; the caller checks that it is free."""
    return f"{random.choice(_ADJECTIVES)}_{random.choice(_SURNAMES)}"


def check_name(name: str) -> str:
    """Check a name a user gave; returns it without a leading slash.

    Raises:
        AgentError: in Docker's words.
    """
    plain = name.removeprefix("/")
    if not _NAME.fullmatch(plain) or len(plain) > 255:
        raise invalid(f"Invalid container name ({plain[:80]}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return plain
