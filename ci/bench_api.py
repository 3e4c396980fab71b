"""Two engines side by side, operation by operation: `python3 ci/bench_api.py ADDRESS ADDRESS [--turns N] [--many N]`.

Both must have the image atoll/base. One client speaks to both, in turns; told are medians in milliseconds, and the
first engine's share of the second's. Addresses are spelled as in DOCKER_HOST.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

import setup

if __name__ == "__main__" and sys.prefix == sys.base_prefix:
    setup.ensure_environment()
    sys.exit(setup.in_environment(__file__, *sys.argv[1:]))

from bench_engines import IMAGE, Subject, clock, median

LOG_BYTES = 200_000_000
OPERATIONS = ("create", "start", "start on a bridge", "inspect", "list", "exec")


def one_turn(subject: Subject) -> dict[str, float]:
    """Each operation once, in milliseconds."""
    containers, took = subject.engine.containers, {}
    made: list[str] = []

    def create(network: str) -> None:
        body: Any = {"Image": IMAGE, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": network}}
        made.append(containers.create(body)["Id"])

    try:
        took["create"] = clock(lambda: create("none"))
        took["start"] = clock(lambda: containers.start(made[0]))
        create("bridge")
        took["start on a bridge"] = clock(lambda: containers.start(made[1]))
        took["inspect"] = median(lambda: containers.inspect(made[0]), 9)
        took["list"] = clock(lambda: containers.list(all=True))
        took["exec"] = clock(lambda: subject.execute(made[0]))
    finally:
        for identity in made:
            containers.remove(identity, force=True)
    return took


def read_log(subject: Subject) -> float:
    """Megabytes a second of a container's output that is followed while it is written."""
    body: Any = {
        "Image": IMAGE,
        "Cmd": ["sh", "-c", f"yes abcdefghijklmnopqrstuvwxyz0123456789 | head -c {LOG_BYTES}"],
        "HostConfig": {"NetworkMode": "none"},
    }
    containers = subject.engine.containers
    identity = containers.create(body)["Id"]
    try:
        size = 0

        def follow() -> None:
            nonlocal size
            containers.start(identity)
            for data in containers.logs(identity, follow=True):
                size += len(data)

        seconds = clock(follow) / 1000
    finally:
        containers.remove(identity, force=True)
    if size < LOG_BYTES:
        raise RuntimeError(f"{subject.name} lost output: {size} of {LOG_BYTES} bytes")
    return LOG_BYTES / 1e6 / seconds


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("hosts", nargs=2, metavar="ADDRESS")
    parser.add_argument("--turns", type=int, default=30, help="turns of each engine (default: 30)")
    parser.add_argument("--many", type=int, default=500, help="containers that are listed (default: 500)")
    options = parser.parse_args()
    subjects = [Subject(host, host, []) for host in options.hosts]
    crowds = [[subject.create("true") for _ in range(options.many)] for subject in subjects]
    try:
        turns: list[list[dict[str, float]]] = [[], []]
        for turn in range(options.turns + 1):
            for subject, found in zip(subjects, turns, strict=True):
                took = one_turn(subject)
                if turn:  # the first one warms up
                    found.append(took)
        logs = [read_log(subject) for subject in subjects]
    finally:
        for subject, crowd in zip(subjects, crowds, strict=True):
            for identity in crowd:
                subject.engine.containers.remove(identity, force=True)
    for name in OPERATIONS:
        first, second = (statistics.median(took[name] for took in found) for found in turns)
        print(f"{name:<20} {first:8.2f} ms {second:8.2f} ms {first / second:6.2f}")
    print(f"{'log of 200 MB':<20} {logs[0]:6.1f} MB/s {logs[1]:6.1f} MB/s {logs[0] / logs[1]:6.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
