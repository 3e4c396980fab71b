"""/etc/resolv.conf (resolv.conf(5))."""

from __future__ import annotations


def parse_servers(text: str) -> list[str]:
    """The name servers it lists, in order."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            found.append(words[1].partition("%")[0])
    return found
