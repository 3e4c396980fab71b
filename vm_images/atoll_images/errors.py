"""The one exception of this package."""

from __future__ import annotations


class ImageError(Exception):
    """An image, or one of its parts, could not be made.

    Attributes:
        message: what happened, lower case, naming the thing.
        hint: what the reader can do about it; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
