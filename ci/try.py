"""From a fresh clone to a container in a machine of its own: `python3 ci/try.py`.

Makes `.venv`, finds QEMU or installs it, builds the machine's image, starts a machine, runs a container in it, and says
what it did and how long each step took. Safe to run again; the second time is quick.
"""

from __future__ import annotations

import subprocess
import sys

import setup


def main() -> int:
    """Do all of it."""
    steps = setup.Steps()
    return setup.finish(steps, lambda: work(steps))


def work(steps: setup.Steps) -> int:
    """The steps, in order.

    Raises:
        setup.SetupError: one of them failed.
    """
    atoll = setup.venv_program("atoll")
    with steps.step("virtual environment"):
        setup.ensure_environment()
    with steps.step("QEMU"):
        setup.ensure_qemu()
    with steps.step("machine image"):
        setup.run(setup.venv_program("python"), "ci/image.py")
    with steps.step("start the machine"):
        setup.run(atoll, "version")  # makes the default machine when there is none, and starts it
    with steps.step("first container"):
        setup.run(atoll, "run", "--rm", "atoll/base", "sh", "-c", "echo hello from $(uname -sr) in a container")
    with steps.step("second container"):
        setup.run(atoll, "run", "--rm", "--network", "none", "atoll/base", "true")
    setup.say(f"""
The machine keeps running. Try:
    {atoll} run --rm -it atoll/base sh
    {atoll} ps -a
    {atoll} machine ls
    {atoll} machine stop""")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.SubprocessError as error:
        sys.exit(f"error: {error}")
