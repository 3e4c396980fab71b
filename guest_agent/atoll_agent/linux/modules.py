"""Loading kernel modules by descriptor: finit_module(2)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from .syscalls import FINIT_MODULE, syscall


def load_module(path: Path, parameters: str = "") -> None:
    """Load an uncompressed module; one that is loaded already is no error."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscall(FINIT_MODULE, descriptor, parameters.encode(), 0, what=str(path))
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
    finally:
        os.close(descriptor)
