"""The guest's /etc: few files, written here rather than taken from packages."""

from __future__ import annotations

from .errors import ImageError
from .tree import Tree

_FILES = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "shadow": "root:*:20000::::::\n",
    "shells": "/bin/sh\n",
    "hostname": "atoll\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "profile": "export PATH=/usr/sbin:/usr/bin LANG=C.UTF-8\n",
}
_LINKS = {
    # The root is read-only: what changes from boot to boot lies in /run, where the agent writes it.
    "resolv.conf": "/run/atoll/resolv.conf",
    "mtab": "/proc/self/mounts",
}
_OS_RELEASE = 'NAME=Atoll\nID=atoll\nID_LIKE=debian\nVERSION_ID="{version}"\nPRETTY_NAME="Atoll {version}"\n'
CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"


def add_etc(tree: Tree, debian: str = "13") -> None:
    """Write /etc."""
    for name, text in _FILES.items():
        tree.add_file(f"etc/{name}", text.encode(), 0o600 if name == "shadow" else 0o644)
    for name, target in _LINKS.items():
        tree.add_link(f"etc/{name}", target)
    tree.add_file("usr/lib/os-release", _OS_RELEASE.format(version=debian).encode())
    tree.add_link("etc/os-release", "../usr/lib/os-release")


def add_certificates(tree: Tree, packages: Tree) -> None:
    """Concatenate the ca-certificates package's files, as its update-ca-certificates would, where OpenSSL looks."""
    found = [
        node.data if node.data.endswith(b"\n") else node.data + b"\n"
        for path, node in packages.files()
        if path.startswith("usr/share/ca-certificates/") and path.endswith(".crt")
    ]
    if not found:
        raise ImageError("ca-certificates holds no certificate")
    tree.add_file(CA_BUNDLE, b"".join(found))
    tree.add_link("usr/lib/ssl/cert.pem", f"/{CA_BUNDLE}")
    tree.add_link("usr/lib/ssl/certs", "/etc/ssl/certs")
