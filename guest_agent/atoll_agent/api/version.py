"""The API versions the engine speaks.

1.51 is what is reported: from 1.52 on Docker's answers change shape and break clients that are in use today.
"""

API_VERSION = "1.51"
MIN_API_VERSION = "1.24"

WIRE_VERSION = 1
"""Version of the channel between keeper and agent (`api.mux`, `api.seed`); both sides must have the same."""


def parse_version(text: str) -> tuple[int, int]:
    """Parse `1.51` into `(1, 51)`.

    Raises:
        ValueError: not two decimal numbers with a dot between them.
    """
    major, dot, minor = text.partition(".")
    if not dot or not (major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit()) or len(text) > 9:
        raise ValueError(f"not an API version: {text[:20]!r}")
    return int(major), int(minor)
