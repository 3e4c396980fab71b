"""What Atoll costs: `python3 ci/bench.py [--json FILE] [--quick] [--no-vm] [--no-native]`.

Measures a machine (the driver everyone has), and on Linux as root also the native driver; there, where dockerd is
installed, dockerd and runc do the same work turn by turn with it, because an absolute time says as much about the
computer as about the program. A line of the figures that matter is appended to `ci/bench-history.jsonl` with
`--record`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import setup


def command_line() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    parser.add_argument("--quick", action="store_true", help="few turns: shows that it works, not how fast")
    parser.add_argument("--no-vm", action="store_true", help="leave out the machine")
    parser.add_argument("--no-native", action="store_true", help="leave out the native driver and dockerd")
    parser.add_argument("--record", action="store_true", help="append a line to bench-history.jsonl")
    return parser


def main() -> int:
    """Set up, then measure in the virtual environment."""
    command_line().parse_args()  # `--help` and mistakes come before any work
    steps = setup.Steps()
    return setup.finish(steps, lambda: work(steps))


def work(steps: setup.Steps) -> int:
    """The steps, in order.

    Raises:
        setup.SetupError: one of them failed.
    """
    with steps.step("virtual environment"):
        setup.ensure_environment()
    with steps.step("QEMU"):
        setup.ensure_qemu()
    with steps.step("machine image"):
        setup.run(setup.venv_program("python"), "ci/image.py")
    with steps.step("measure"):
        code = setup.in_environment("ci/bench_measure.py", *sys.argv[1:])
        if code:
            raise setup.SetupError(f"measuring ended with exit code {code}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
