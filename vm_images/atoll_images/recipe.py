"""What goes into the guest: packages, and of those which files.

Everything here is a list with reasons; `root` and `prune` carry it out.
"""

from __future__ import annotations

ARCHITECTURES = ("amd64", "arm64")
TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

SUITES = (("debian", "trixie"), ("debian", "trixie-updates"), ("debian-security", "trixie-security"))
"""Archive and suite; only the first must exist on a mirror."""

KERNEL_PATTERN = r"linux-image-6\.12\.\d+\+deb13-cloud-{arch}"

PACKAGES = (
    # the agent's Python
    "python3.13-minimal",
    "libpython3.13-minimal",
    "libpython3.13-stdlib",
    # zstd layers
    "python3-zstandard",
    "libzstd1",
    # loaded by the agent through ctypes
    "libseccomp2",
    # dlopened by libc for pthread_exit and by Python's threads with it
    "libgcc-s1",
    # mke2fs and resize2fs, for the data disk
    "e2fsprogs",
    # ssh, scp and sftp into the machine
    "dropbear-bin",
    "openssh-sftp-server",
    # a shell for people, the initramfs and atoll/base
    "busybox-static",
    # `--init`
    "tini",
    # registries speak TLS
    "ca-certificates",
)

SKIP = frozenset({
    # documentation only
    "gcc-14-base", "logsave",
    # serve maintainer scripts
    "debconf", "openssl", "init-system-helpers", "linux-base", "kmod", "initramfs-tools", "linux-initramfs-tool",
    # parts of Python that we leave out: readline, curses, dbm, sqlite3, uuid, mime types, time zones, /etc/services
    "libreadline8t64", "libncursesw6", "libtinfo6", "libdb5.3t64", "libsqlite3-0", "media-types",
    "netbase", "tzdata",
    # the default Python's wrapper package, and an alternative back end of python3-zstandard
    "python3", "python3-cffi-backend-api-min", "python3-cffi-backend-api-max",
    # the client, which sftp-server does not link to
    "openssh-client",
    # debugfs alone uses it
    "libss2",
    # ciphers that TLS has left behind
    "openssl-provider-legacy",
})  # fmt: skip

PROGRAMS = frozenset({
    "usr/bin/python3.13", "usr/bin/busybox", "usr/bin/tini", "usr/bin/tini-static",
    "usr/sbin/mke2fs", "usr/sbin/resize2fs", "usr/sbin/e2fsck",
    "usr/sbin/dropbear", "usr/lib/openssh/sftp-server",
})  # fmt: skip
"""Programs that stay; every other file in a `bin` or `sbin` goes."""

DROPPED_PREFIXES = (
    "boot/", "etc/", "var/", "lib/systemd/", "usr/include/", "usr/games/", "usr/lib/gcc/", "usr/lib/systemd/",
    "usr/lib/udev/", "usr/lib/initramfs-tools/", "usr/lib/valgrind/", "usr/lib/binfmt.d/", "usr/lib/ssl/",
    "usr/lib/{triplet}/gconv/", "usr/lib/{triplet}/audit/", "usr/lib/{triplet}/e2initrd_helper",
    "usr/lib/{triplet}/engines-3/", "usr/lib/{triplet}/ossl-modules/", "usr/lib/{triplet}/security/",
    "usr/lib/locale/",
    "usr/share/",
)  # fmt: skip
"""Directories that go. /etc is written anew (see `etc_files`); the certificates are read before this."""

DROPPED_SUFFIXES = (".a", ".h", ".la", ".pc", ".pyi")

STDLIB = "usr/lib/python3.13"

DROPPED_STDLIB = frozenset({
    # tests, editors, teaching
    "test", "idlelib", "tkinter", "turtledemo", "turtle", "lib2to3", "unittest", "doctest", "pydoc", "pydoc_data",
    "antigravity", "this", "__phello__", "__hello__",
    # installers and packagers
    "ensurepip", "venv", "zipapp", "sitecustomize", "site-packages", "dist-packages", "EXTERNALLY-MANAGED",
    "_sysconfigdata__linux_x86_64-linux-gnu", "_sysconfigdata__x86_64-linux-gnu", "config-3.13-x86_64-linux-gnu",
    "_sysconfigdata__linux_aarch64-linux-gnu", "_sysconfigdata__aarch64-linux-gnu", "config-3.13-aarch64-linux-gnu",
    "_distutils_system_mod", "LICENSE", "modulefinder", "sqlite3",
    # debuggers and profilers
    "pdb", "bdb", "cmd", "code", "codeop", "cProfile", "profile", "pstats", "trace", "tracemalloc", "timeit",
    "pyclbr", "tabnanny", "symtable", "pickletools", "rlcompleter", "_pyrepl",
    # protocols, formats and user interfaces that an engine has no use for
    "asyncio", "curses", "dbm", "xml", "xmlrpc", "wsgiref", "multiprocessing", "mailbox", "imaplib",
    "poplib", "smtplib", "ftplib", "cgi", "cgitb", "webbrowser", "plistlib", "optparse", "readline",
    "netrc", "zoneinfo", "wave", "colorsys", "statistics", "fractions", "_pydecimal",
    "decimal", "numbers", "_pydatetime", "_pylong", "compileall", "filecmp", "fileinput", "sched", "nturl2path",
    "_osx_support", "_ios_support", "_android_support", "_apple_support", "_aix_support", "shelve",
    "cmath", "tomllib", "html", "_markupbase", "graphlib", "difflib", "_pyio",
})  # fmt: skip
"""Modules and packages of the standard library that go, by the first part of their name."""

KEPT_EXTENSIONS = frozenset({
    "_bz2", "_ctypes", "_hashlib", "_lzma", "_ssl", "_json", "_queue", "_contextvars", "_opcode", "_posixsubprocess",
    "_struct", "_heapq", "_bisect", "_random", "_socket", "_pickle", "zlib", "binascii", "array", "fcntl",
    "grp", "math", "mmap", "resource", "select", "termios", "syslog", "unicodedata", "_csv", "_datetime",
    "_blake2", "_md5", "_sha1", "_sha2", "_sha3",
})  # fmt: skip
"""Extension modules that stay in lib-dynload."""

KEPT_ENCODINGS = frozenset({
    "__init__", "aliases", "ascii", "idna", "latin_1", "utf_8", "utf_8_sig", "utf_16", "utf_16_le", "utf_16_be",
    "punycode", "cp437", "unicode_escape", "raw_unicode_escape", "base64_codec", "hex_codec", "undefined",
})  # fmt: skip

MOUNT_POINTS = (
    ("proc", 0o755), ("sys", 0o755), ("dev", 0o755), ("run", 0o755), ("mnt", 0o755), ("root", 0o700),
    ("tmp", 0o1777), ("var/lib/atoll", 0o755), ("var/tmp", 0o1777),
)  # fmt: skip

DLOPENED = frozenset({"libgcc_s.so.1", "libseccomp.so.2"})
"""Libraries opened at run time by name. Every other library that no shipped file names as needed goes."""
