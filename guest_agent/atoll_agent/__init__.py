"""The agent inside an Atoll machine: a Docker-compatible engine doing the namespace, cgroup and overlay work itself."""

__version__ = "0.1.0"
