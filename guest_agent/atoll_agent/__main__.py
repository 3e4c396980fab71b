"""`python -m atoll_agent`: without arguments the first process of a machine, with `--native` an engine on this host."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def run() -> int:
    """Parse the command line and run the wanted program."""
    if len(sys.argv) == 1:
        from .boot.guest import boot

        return boot()
    parser = argparse.ArgumentParser(prog="atoll_agent", description="The Atoll engine.")
    parser.add_argument(
        "--native", action="store_true", required=True, help="run on this host, as root, without a machine"
    )
    parser.add_argument("--data-root", type=Path, required=True, help="where images and containers are kept")
    parser.add_argument("--socket", type=Path, required=True, help="unix socket on which the API answers")
    parser.add_argument("--bridge", default="atoll0", help="name of the containers' bridge (default: atoll0)")
    arguments = parser.parse_args()
    from .native import run_native

    return run_native(arguments.data_root.absolute(), arguments.socket.absolute(), arguments.bridge)


if __name__ == "__main__":
    sys.exit(run())
