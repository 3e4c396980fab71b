"""The measuring itself, inside the virtual environment; `bench.py` says what and why."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import setup
from bench import command_line
from bench_engines import (
    ATOLL,
    Subject,
    base_archive,
    clock,
    docker_engine,
    machine_image,
    median,
    native_engine,
    quiet,
)

HISTORY = setup.ROOT / "ci" / "bench-history.jsonl"
IN_A_ROW = 50
IDLE_CONTAINERS = 10

Figures = dict[str, float]


def measure_together(subjects: list[Subject], turns: int) -> dict[str, Figures]:
    """Measure several engines turn by turn (A B A B), so that what else the computer does hits all alike."""
    works: list[tuple[str, Callable[[Subject], object]]] = [
        ("run_ms", lambda subject: subject.run_by_command()),
        ("engine_cycle_ms", lambda subject: subject.cycle()),
    ]
    figures: dict[str, Figures] = {subject.name: {} for subject in subjects}
    for title, work in works:
        times: dict[str, list[float]] = {subject.name: [] for subject in subjects}
        for turn in range(turns + 1):
            for subject in subjects:
                taken = clock(lambda subject=subject, work=work: work(subject))  # type: ignore[misc]
                if turn:  # the first one warms up
                    times[subject.name].append(taken)
        for name, values in times.items():
            figures[name][title] = statistics.median(values)
    for subject in subjects:
        figures[subject.name]["exec_ms"] = subject.measure_exec(turns)
        figures[subject.name]["in_a_row_ms"] = clock(lambda subject=subject: [subject.cycle() for _ in range(IN_A_ROW)])  # type: ignore[misc]
    return figures


def memory_of(*roots: int) -> float:
    """Proportional memory (PSS) of processes and what descends from them, containers excepted, in MiB."""
    total = 0
    for pid in set(_family(roots)):
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            continue
    return total / 1024


def _family(roots: tuple[int, ...]) -> Iterator[int]:
    for pid in roots:
        yield pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            continue
        # A container's own processes are not the engine's cost.
        yield from _family(tuple(int(child) for child in children if _comm(int(child)) != "sleep"))


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def measure_memory(subject: Subject, roots: Callable[[], list[int]]) -> Figures:
    """Memory of the idle engine, and what each idle container adds."""
    idle = memory_of(*roots())
    with subject.idle_containers(IDLE_CONTAINERS):
        full = memory_of(*roots())
    return {"idle_mib": idle, "per_container_mib": (full - idle) / IDLE_CONTAINERS}


def measure_memory_inside(subject: Subject) -> Figures:
    """The same as a machine's engine tells it of itself: nobody outside can see into a machine."""

    def used() -> float:
        return sum(subject.engine.system.memory().values()) / (1 << 20)

    idle = used()
    with subject.idle_containers(IDLE_CONTAINERS):
        full = used()
    return {"idle_mib": idle, "per_container_mib": (full - idle) / IDLE_CONTAINERS}


def measure_runc(scratch: Path, turns: int) -> float:
    """`runc run` of the same root: the bar for an engine's own part."""
    bundle = scratch / "bundle"
    (bundle / "rootfs").mkdir(parents=True)
    unpack_root(bundle / "rootfs")
    subprocess.run(["runc", "spec"], cwd=bundle, check=True)
    spec = json.loads((bundle / "config.json").read_text())
    spec["process"] |= {"args": ["true"], "terminal": False}
    (bundle / "config.json").write_text(json.dumps(spec))
    root = str(scratch / "runc")
    return median(lambda: quiet("runc", "--root", root, "run", "-b", str(bundle), f"bench-{os.getpid()}"), turns)


def unpack_root(directory: Path) -> None:
    """Unpack the image's layers."""
    import tarfile

    with tarfile.open(base_archive()) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        for layer in manifest[0]["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as content:
                content.extractall(directory, filter="fully_trusted")


def measure_native(turns: int) -> dict[str, Figures]:
    """The native driver, beside dockerd and runc where they are installed."""
    with tempfile.TemporaryDirectory(prefix="atoll-bench-") as folder, ExitStack() as stack:
        scratch = Path(folder)
        native, native_pid = stack.enter_context(native_engine(scratch))
        subjects = [native]
        docker_pid = 0
        if shutil.which("dockerd") and shutil.which("docker"):
            docker, docker_pid = stack.enter_context(docker_engine(scratch))
            subjects.append(docker)
        figures = measure_together(subjects, turns)
        figures[native.name] |= measure_memory(native, lambda: [native_pid])
        if docker_pid:
            figures[docker.name] |= measure_memory(docker, lambda: [docker_pid, *shims()])
        if shutil.which("runc"):
            figures["runc"] = {"run_ms": measure_runc(scratch, turns)}
    return figures


def shims() -> list[int]:
    """Docker's process per container."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if _comm(pid).startswith("containerd-shim")]


def measure_machine(turns: int) -> dict[str, Figures]:
    """A machine of its own, with all its state in a scratch directory."""
    with tempfile.TemporaryDirectory(prefix="atoll-bench-") as folder:
        env = {**os.environ, "ATOLL_IMAGE_DIR": str(machine_image()), "ATOLL_HOME": folder}
        env.pop("ATOLL_HOST", None)
        # The first start makes what all later ones find: the compiled agent, the unpacked kernel, the accelerator.
        quiet(ATOLL, "machine", "create", "bench", env=env)
        first = clock(lambda: quiet(ATOLL, "machine", "start", "bench", env=env))
        try:
            quiet(ATOLL, "machine", "stop", "bench", env=env)
            cold = []
            for _ in range(3):
                cold.append(clock(lambda: quiet(ATOLL, "machine", "start", "bench", env=env)))
                quiet(ATOLL, "machine", "stop", "bench", env=env)
            quiet(ATOLL, "machine", "start", "bench", env=env)
            host = read_endpoint(env)
            line = [ATOLL, "--machine", "bench", "run", "--rm", "--network", "none"]
            env["ATOLL_MACHINE"] = "bench"
            subject = Subject("atoll machine", host, [ATOLL, *line[3:]], env)
            figures = measure_together([subject], turns)
            figures[subject.name] |= measure_memory_inside(subject)
            figures[subject.name] |= {"first_start_ms": first, "cold_start_ms": statistics.median(cold)}
            return figures
        finally:
            quiet(ATOLL, "machine", "stop", "bench", env=env)


def read_endpoint(env: dict[str, str]) -> str:
    """The address of the machine's engine, from `atoll machine env`."""
    text = subprocess.run(
        [ATOLL, "machine", "env", "bench"], capture_output=True, text=True, check=True, env=env
    ).stdout
    return next(part for part in text.replace("=", " ").replace("'", " ").replace('"', " ").split() if "://" in part)


def image_sizes() -> Figures:
    """Sizes of the bootable files and of the container image, in MB."""
    sizes = {file.name: file.stat().st_size / 1e6 for file in machine_image().iterdir()}
    return {"bootable_mb": sum(size for name, size in sizes.items() if not name.endswith((".tar", ".json"))), **sizes}


BARS = [
    ("atoll machine", "cold_start_ms", 6000.0, None),
    ("atoll machine", "run_ms", 800.0, None),
    ("atoll native", "run_ms", 0.5, ("dockerd", "run_ms")),
    ("atoll native", "engine_cycle_ms", 1.0, ("runc", "run_ms")),
    ("atoll machine", "idle_mib", 60.0, None),
    ("atoll machine", "per_container_mib", 1.0, None),
    ("atoll native", "idle_mib", 60.0, None),
    ("atoll native", "per_container_mib", 1.0, None),
]


def print_report(figures: dict[str, Figures]) -> None:
    """Print all figures, then those that have a bar to reach."""
    print()
    for subject, values in figures.items():
        for name, value in values.items():
            print(f"  {subject:<16}{name:<20}{value:12.1f}")
    print("\n  bars")
    for subject, name, bar, other in BARS:
        value = figures.get(subject, {}).get(name)
        peer = figures.get(other[0], {}).get(other[1]) if other else 1.0
        if value is None or peer is None:
            continue
        ratio = value / peer
        against = f" of {other[0]}'s {other[1]}" if other else ""
        verdict = "reached" if ratio <= bar else "MISSED"
        print(f"  {subject:<16}{name:<20}{ratio:12.2f}  bar {bar:g}{against}: {verdict}")


def record(figures: dict[str, Figures]) -> None:
    """Append a line to the history."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=setup.ROOT)
    line = {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip(),
        "computer": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, {platform.python_version()}",
        "figures": {
            subject: {name: round(value, 2) for name, value in values.items()} for subject, values in figures.items()
        },
    }
    with HISTORY.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def main() -> int:
    """Measure and report."""
    options = command_line().parse_args()
    turns = 3 if options.quick else 20
    figures: dict[str, Figures] = {"image": image_sizes()}
    if not options.no_native and sys.platform == "linux" and setup.is_root():
        figures |= measure_native(turns)
    failure = ""
    if not options.no_vm:
        try:
            figures |= measure_machine(turns)
        except RuntimeError as error:  # what was measured before is worth having
            failure = str(error)
    print_report(figures)
    if failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if options.record:
        record(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
