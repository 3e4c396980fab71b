"""The agent inside an Atoll machine: a Docker-compatible engine that does its own namespace, cgroup and overlay work."""

__version__ = "0.1.0"
