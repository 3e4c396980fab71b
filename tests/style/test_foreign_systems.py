"""What is shipped for the host imports on Windows and macOS, and builds no path of theirs by hand.

Only imports: what is used inside functions is for mypy, which `ci/check.py` runs for all three systems.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MISSING = {
    "win32": {
        "": [
            "_posixshmem", "crypt", "curses", "fcntl", "grp", "nis", "ossaudiodev", "pty", "pwd", "readline",
             "resource", "spwd", "syslog", "termios", "tty",
        ],
        "os": [
            "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "WNOHANG", "chown", "fork", "geteuid", "getgid",
            "getpgid", "getsid", "getuid", "killpg", "mkfifo", "setns", "setsid", "sysconf", "uname", "unshare",
        ],
        "select": ["epoll", "kqueue", "poll"],
        "signal": [
            "SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGTSTP", "SIGUSR1",
            "SIGWINCH", "alarm", "pause", "pthread_sigmask", "setitimer", "sigwait",
        ],
        "socket": ["AF_NETLINK", "AF_PACKET", "AF_UNIX", "AF_VSOCK", "CMSG_SPACE", "SCM_RIGHTS", "send_fds"],
        "asyncio": ["open_unix_connection", "start_unix_server"],
        "time": ["tzset"],
    },
    "darwin": {
        "": ["msvcrt", "nt", "ossaudiodev", "spwd", "winreg"],
        "os": [
            "copy_file_range", "eventfd", "getrandom", "getxattr", "listxattr", "memfd_create", "pidfd_open",
            "posix_fallocate", "sched_getaffinity", "setns", "setxattr", "splice", "unshare",
        ],
        "select": ["epoll"],
        "signal": ["pidfd_send_signal", "sigtimedwait", "sigwaitinfo"],
        "socket": ["AF_NETLINK", "AF_PACKET", "AF_VSOCK", "SOCK_CLOEXEC", "SOCK_NONBLOCK"],
    },
}  # fmt: skip
"""Modules ("") and names that a system's Python does not have."""

GUEST_SCRIPTS = ["atoll_images.guest_compile"]
"""Read as text and run in a machine; imported here it would end this computer."""

OURS = ["atoll", "atoll_images", "atoll_agent.api"]

IMPORT_TWICE = """
import importlib, importlib.abc, json, pkgutil, sys, types

platform, missing, scripts, ours = json.load(sys.stdin)


class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in missing[""]:
            raise ImportError(f"{name} does not exist there")


def import_all():
    names = []
    for package in ours:
        root = importlib.import_module(package)
        names += [found.name for found in pkgutil.walk_packages(root.__path__, package + ".")]
    names = [name for name in names if not name.endswith("__main__") and name not in scripts]
    for name in names:
        importlib.import_module(name)
    return len(names)


# Once as we are, since the library's own modules were made for the system they are on; then ours alone, abroad.
import_all()
poorer = {module: importlib.import_module(module) for module in missing if module}
for name in [name for name in sys.modules if name.split(".")[0] in {package.split(".")[0] for package in ours}]:
    del sys.modules[name]
sys.meta_path.insert(0, Blocked())
for name in missing[""]:
    sys.modules.pop(name, None)
for name, module in poorer.items():
    for lost in missing[name]:
        vars(module).pop(lost, None)
if platform == "win32":
    for name in ("_winapi", "msvcrt", "winreg"):
        sys.modules[name] = types.ModuleType(name)
sys.platform = platform
print(import_all())
"""


def import_abroad(platform: str, packages: list[str], sources: list[Path]) -> subprocess.CompletedProcess[str]:
    """Import packages as on another system; the number of their modules is printed."""
    return subprocess.run(
        [sys.executable, "-c", IMPORT_TWICE],
        input=json.dumps([platform, MISSING[platform], GUEST_SCRIPTS, packages]),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sources))},
    )


@pytest.mark.parametrize("platform", MISSING)
def test_everything_of_the_host_imports(platform: str, root: Path, all_modules: list) -> None:  # type: ignore[type-arg]
    done = import_abroad(platform, OURS, [root / source for source in ("host", "guest_agent", "vm_images")])
    assert done.returncode == 0, done.stderr
    ours = [module.name for module in all_modules if module.name.startswith(tuple(f"{name}." for name in OURS))]
    expected = [name for name in ours if not name.endswith("__main__") and name not in GUEST_SCRIPTS]
    assert int(done.stdout) == len(expected)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import termios", "termios does not exist there"),
        ("import select; POLL = select.poll", "has no attribute 'poll'"),
        ("import sys; assert sys.platform != 'win32', 'abroad'", "abroad"),
        ("import json, msvcrt, subprocess, asyncio" if sys.platform == "win32" else "import asyncio, json, os", ""),
    ],
)
def test_what_is_missing_is_noticed(tmp_path: Path, text: str, complaint: str) -> None:
    """The test above can fail."""
    if sys.platform == "win32" and complaint:
        pytest.skip("needs a system that has what Windows has not")
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "__init__.py").touch()
    (tmp_path / "extra" / "module.py").write_text(text)
    done = import_abroad("win32", ["extra"], [tmp_path])
    assert complaint in done.stderr
    assert bool(done.returncode) == bool(complaint), done.stderr


SLASHES = {
    "atoll.cli.context_files": "names in an archive",
    "atoll.cli.flags": "two spellings of a flag in its help",
    "atoll.cli.look": "port/protocol",
    "atoll.cli.pack": "names in an archive",
    "atoll.cli.prune": "yes or no",
    "atoll.cli.ps": "port/protocol",
    "atoll.cli.publish": "port/protocol",
    "atoll.cli.stats": "two numbers",
    "atoll.client": "paths of the API, and addresses",
    "atoll.machine.boot": "a request's head",
    "atoll.machine.doctor": "kernel modules of Linux",
    "atoll.machine.endpoint": "an engine's address",
    "atoll.machine.images": "names in an archive for the guest",
    "atoll.ssh.client": "paths of the guest",
    "atoll.system.processes": "/proc of Linux",
}
"""Where text with a slash is put together that is no path of this computer, and what it is."""

JOINING = ("join", "format")


def _has_slash(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and ("/" in node.value or "\\" in node.value)


def find_joined_by_hand(tree: ast.AST) -> list[int]:
    """Lines that put text together with a slash or a backslash, or ask the system for its separator."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found = any(_has_slash(part) for part in node.values)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
            found = _has_slash(node.left) or _has_slash(node.right)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found = node.func.attr in JOINING and _has_slash(node.func.value)
        else:
            found = isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.sep", "os.path.sep", "os.path.join")
        if found:
            lines.append(node.lineno)  # type: ignore[attr-defined]
    return lines


def _reason(name: str) -> str | None:
    return next((key for key in SLASHES if name == key or name.startswith(f"{key}.")), None)


def test_no_path_of_the_host_is_built_by_hand(host_modules: list) -> None:  # type: ignore[type-arg]
    """`Path` knows what lies between two names on this system; a slash in a text does not."""
    found = {module.name: find_joined_by_hand(module.tree) for module in host_modules}
    assert {name: lines for name, lines in found.items() if lines and not _reason(name)} == {}
    assert {_reason(name) for name, lines in found.items() if lines} == set(SLASHES)  # and no reason is out of date


@pytest.mark.parametrize(
    "text",
    [
        'f"{home}/x"',
        'home + "/x"',
        'home + "\\\\x"',
        '"/".join(parts)',
        '"%s/x" % home',
        '"{}/x".format(home)',
        "os.sep",
    ],
)
def test_what_is_built_by_hand_is_noticed(text: str) -> None:
    assert find_joined_by_hand(ast.parse(text)) == [1]


@pytest.mark.parametrize("text", ['home / "x"', '"a, b".join(parts)', 'f"{a} {b}"', 'home.joinpath("x")', '"a/b"'])
def test_what_is_not_is_not(text: str) -> None:
    assert find_joined_by_hand(ast.parse(text)) == []
