"""What an engine of one host does not have, answered as dockerd answers outside of a swarm and without plugins.

Not stubs: a client that asks learns that there is no swarm, which is true, in the words and with the status that
Docker's clients look for (docker-py leaves a swarm before its tests and expects this 503).
"""

from __future__ import annotations

from ..api.errors import AgentError, Kind, not_found
from .http import Connection, Request
from .router import Route

NO_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
NO_SWARM = (
    'This node is not part of a swarm. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
ONE_HOST = "swarm mode is not supported: this engine serves one host"
_OBJECTS = ("nodes", "services", "tasks", "secrets", "configs")


class AbsentRoutes:
    """Handlers that say no."""

    def routes(self) -> list[Route]:
        """The rows of the table."""
        rows: list[Route] = [
            ("GET", "/swarm", self.no_manager),
            ("POST", "/swarm/init", self.one_host),
            ("POST", "/swarm/join", self.one_host),
            ("POST", "/swarm/leave", self.no_swarm),
            ("POST", "/swarm/update", self.no_manager),
            ("GET", "/swarm/unlockkey", self.no_manager),
            ("POST", "/swarm/unlock", self.no_manager),
            ("GET", "/services/{id}/logs", self.no_manager),
            ("GET", "/tasks/{id}/logs", self.no_manager),
            ("POST", "/build/prune", self.no_build_cache),
            ("GET", "/plugins", self.no_plugins),
            ("GET", "/plugins/privileges", self.plugins_refused),
            ("POST", "/plugins/pull", self.plugins_refused),
            ("POST", "/plugins/create", self.plugins_refused),
            ("GET", "/plugins/{name*}/json", self.no_such_plugin),
            ("DELETE", "/plugins/{name*}", self.no_such_plugin),
        ]
        for noun in _OBJECTS:
            rows += [("GET", f"/{noun}", self.no_manager), ("GET", f"/{noun}/{{id}}", self.no_manager)]
            rows += [("DELETE", f"/{noun}/{{id}}", self.no_manager), ("POST", f"/{noun}/create", self.no_manager)]
            rows += [("POST", f"/{noun}/{{id}}/update", self.no_manager)]
        for verb in ("enable", "disable", "upgrade", "push", "set"):
            rows.append(("POST", f"/plugins/{{name*}}/{verb}", self.no_such_plugin))
        return rows

    def no_manager(self, request: Request, connection: Connection) -> None:
        """Whatever only a manager knows."""
        raise AgentError(Kind.UNAVAILABLE, NO_MANAGER)

    def no_swarm(self, request: Request, connection: Connection) -> None:
        """POST /swarm/leave"""
        raise AgentError(Kind.UNAVAILABLE, NO_SWARM)

    def one_host(self, request: Request, connection: Connection) -> None:
        """POST /swarm/init, /swarm/join"""
        raise AgentError(Kind.UNAVAILABLE, ONE_HOST)

    def no_plugins(self, request: Request, connection: Connection) -> None:
        """GET /plugins"""
        connection.send_json([])

    def no_build_cache(self, request: Request, connection: Connection) -> None:
        """POST /build/prune, which `docker system prune` calls: this engine has no builder, and so no cache of one."""
        connection.send_json({"CachesDeleted": None, "SpaceReclaimed": 0})

    def no_such_plugin(self, request: Request, connection: Connection) -> None:
        """Anything about one plugin."""
        raise not_found(f'plugin "{request.parameters["name"]}" not found')

    def plugins_refused(self, request: Request, connection: Connection) -> None:
        """Anything that would bring one."""
        raise AgentError(Kind.NOT_IMPLEMENTED, "plugins are not supported by this engine")
