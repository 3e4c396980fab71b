"""`/images`."""

from __future__ import annotations

from typing import IO, cast

from ..api.errors import AgentError, Kind
from .backends import ImageBackend
from .http import Connection, Request
from .router import Route


class ImageRoutes:
    """Handlers of images."""

    def __init__(self, backend: ImageBackend) -> None:
        self._backend = backend

    def routes(self) -> list[Route]:
        """The rows of the table."""
        return [
            ("GET", "/images/json", self.list),
            ("POST", "/images/load", self.load),
            ("POST", "/images/create", self.create),
            ("POST", "/images/prune", self.prune),
            ("GET", "/images/get", self.save),
            ("GET", "/images/{name*}/get", self.save),
            ("GET", "/images/{name*}/json", self.inspect),
            ("GET", "/images/{name*}/history", self.history),
            ("POST", "/images/{name*}/tag", self.tag),
            ("DELETE", "/images/{name*}", self.remove),
        ]

    def list(self, request: Request, connection: Connection) -> None:
        """GET /images/json"""
        filters = request.filters()
        if request.query.get("filter"):  # before API 1.41
            filters.setdefault("reference", []).append(request.query["filter"])
        rows = self._backend.rows(filters, everything=request.flag("all"), shared_size=request.flag("shared-size"))
        connection.send_json(rows)

    def inspect(self, request: Request, connection: Connection) -> None:
        """GET /images/{name}/json"""
        connection.send_json(self._backend.details(request.parameters["name"]))

    def history(self, request: Request, connection: Connection) -> None:
        """GET /images/{name}/history"""
        connection.send_json(self._backend.history(request.parameters["name"]))

    def load(self, request: Request, connection: Connection) -> None:
        """POST /images/load: an error is a line of the stream, which has begun in any case, as Docker does."""
        lines = self._backend.load(cast(IO[bytes], request.body), request.query.get("platform", ""))
        connection.start_stream()
        try:
            for line in lines:
                connection.write_json({"stream": f"{line}\n"})
        except ConnectionError:
            raise
        except (AgentError, OSError) as error:
            text = error.message if isinstance(error, AgentError) else f"{error.filename or 'load'}: {error.strerror}"
            connection.write_json({"errorDetail": {"message": text}, "error": text})
        connection.end_stream()
        _take_rest(request)

    def create(self, request: Request, connection: Connection) -> None:
        """POST /images/create: `fromSrc` imports a root file system, `fromImage` asks for an image of a registry."""
        query = request.query
        if query.get("fromImage"):
            self._pull(request, connection)
            return
        if query.get("fromSrc") != "-":
            raise AgentError(Kind.NOT_IMPLEMENTED, "importing from a URL is not supported: send the archive itself")
        image_id = self._backend.import_root(
            cast(IO[bytes], request.body),
            repository=query.get("repo", ""),
            tag=query.get("tag", ""),
            message=query.get("message", "") or "Imported from -",
            changes=request.values("changes"),
            platform=query.get("platform", ""),
        )
        connection.start_stream()
        connection.write_json({"status": image_id})
        connection.end_stream()
        _take_rest(request)

    def _pull(self, request: Request, connection: Connection) -> None:
        name, tag = request.query["fromImage"].removesuffix(":"), request.query.get("tag", "")
        if tag:
            name += f"@{tag}" if tag.startswith("sha256:") else f":{tag}"
        found = self._backend.present(name, request.query.get("platform", ""))
        connection.start_stream()
        connection.write_json({"status": f"Status: Image is up to date for {found}"})
        connection.end_stream()

    def save(self, request: Request, connection: Connection) -> None:
        """GET /images/{name}/get and /images/get?names="""
        name = request.parameters.get("name")
        parts = self._backend.save([name] if name else request.values("names"), request.query.get("platform", ""))
        connection.start_stream("application/x-tar")
        connection.write_parts(parts)
        connection.end_stream()

    def prune(self, request: Request, connection: Connection) -> None:
        """POST /images/prune"""
        connection.send_json(self._backend.prune(request.filters()))

    def tag(self, request: Request, connection: Connection) -> None:
        """POST /images/{name}/tag"""
        self._backend.tag(request.parameters["name"], request.query.get("repo", ""), request.query.get("tag", ""))
        connection.send_empty(201)

    def remove(self, request: Request, connection: Connection) -> None:
        """DELETE /images/{name}"""
        name, prune = request.parameters["name"], not request.flag("noprune")
        connection.send_json(self._backend.remove(name, force=request.flag("force"), prune=prune))


def _take_rest(request: Request) -> None:
    """Read what may follow behind an archive's end: padding."""
    if not request.body.finished:
        request.body.read_all(64 << 20)
