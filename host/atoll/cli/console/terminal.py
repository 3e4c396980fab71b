"""The terminal: is there one, how large is it, and raw mode, in which every key goes to the container."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STDIN, STDOUT = 0, 1


def is_terminal(descriptor: int) -> bool:
    """Whether a descriptor is a terminal."""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def size() -> tuple[int, int] | None:
    """Height and width of the terminal, None without one."""
    for descriptor in (STDOUT, STDIN, 2):
        try:
            columns, lines = os.get_terminal_size(descriptor)
        except (OSError, ValueError):
            continue
        if columns and lines:
            return lines, columns
    return None


if sys.platform == "win32":
    # Console mode bits of the Windows API.
    PROCESSED_INPUT, LINE_INPUT, ECHO_INPUT, VIRTUAL_INPUT = 0x1, 0x2, 0x4, 0x200
    VIRTUAL_OUTPUT, NO_AUTO_RETURN = 0x4, 0x8
    UTF_8 = 65001

    def _make_raw() -> Callable[[], None]:
        import ctypes

        kernel = ctypes.windll.kernel32
        saved: list[tuple[int, int]] = []
        for number, clear, enable in (
            (-10, PROCESSED_INPUT | LINE_INPUT | ECHO_INPUT, VIRTUAL_INPUT),
            (-11, 0, VIRTUAL_OUTPUT | NO_AUTO_RETURN),
        ):
            handle = kernel.GetStdHandle(number)
            mode = ctypes.c_uint32()
            if kernel.GetConsoleMode(handle, ctypes.byref(mode)):
                saved.append((handle, mode.value))
                kernel.SetConsoleMode(handle, mode.value & ~clear | enable)
        pages = kernel.GetConsoleCP(), kernel.GetConsoleOutputCP()
        kernel.SetConsoleCP(UTF_8)
        kernel.SetConsoleOutputCP(UTF_8)

        def restore() -> None:
            for handle, mode in saved:
                kernel.SetConsoleMode(handle, mode)
            kernel.SetConsoleCP(pages[0])
            kernel.SetConsoleOutputCP(pages[1])

        return restore

else:

    def _make_raw() -> Callable[[], None]:
        import termios
        import tty

        saved = termios.tcgetattr(STDIN)
        # Now, and without the flush that is the default: what was typed ahead belongs to the container.
        tty.setraw(STDIN, termios.TCSANOW)
        return lambda: termios.tcsetattr(STDIN, termios.TCSADRAIN, saved)


@contextmanager
def raw_mode() -> Iterator[None]:
    """Put the terminal into raw mode, and back, whatever happens. Nothing to do where stdin is no terminal."""
    if not is_terminal(STDIN):
        yield
        return
    restore = _make_raw()
    try:
        yield
    finally:
        restore()
