"""The head of a cluster over HTTP, for whom has the token."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from wormwood.launch.storage.json_files import parse_json

__all__ = ["LEARNER", "WORKER", "ClusterError", "Head", "RayActor"]

LEARNER, WORKER = "wormwood-learners", "wormwood-worker-"
"""Names of actors, as ``ray_service`` and ``ray_workers`` give them; to import those takes Ray, and seconds."""


class ClusterError(RuntimeError):
    """The cluster does not do what it should: it does not answer, does not let us in, or a job of it failed."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        """The HTTP status, where there was an answer."""


@dataclass(frozen=True)
class RayActor:
    """The learner service or a rollout worker."""

    name: str
    node: str
    process: int
    restarts: int


@dataclass(frozen=True)
class Head:
    """Dashboard and job API of a head.

    Ray's own client is not used: it goes where ``RAY_API_SERVER_ADDRESS`` says, and would take the token there.
    """

    url: str
    token: str

    def get(self, path: str) -> Any:
        """Return the JSON at a path.

        Raises:
            ClusterError: the head does not answer, or the token is not its own.
        """
        return self._parse(self._ask("GET", path, None))

    def post(self, path: str, body: Any) -> Any:
        """Send JSON to a path and return the answer; errors as ``get``."""
        return self._parse(self._ask("POST", path, json.dumps(body).encode()))

    def put(self, path: str, content: bytes) -> None:
        """Send a file to a path; errors as ``get``."""
        self._ask("PUT", path, content)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return the nodes that are alive by name, with the bytes in use of each one's object store."""
        found = self.get("/api/v0/nodes?detail=1&limit=10000")["data"]["result"]["result"]
        summary = self.get("/nodes?view=summary")["data"]["summary"]
        raylets = [node["raylet"] for node in summary if "raylet" in node]
        used = {raylet.get("nodeId"): raylet.get("objectStoreUsedMemory") for raylet in raylets}
        return {
            node["node_name"]: {"object_store_used": used.get(node["node_id"])}
            for node in found
            if node["state"] == "ALIVE"
        }

    def actors(self) -> list[RayActor]:
        """Return the learner service and the rollout workers that run."""
        nodes = self.get("/api/v0/nodes?limit=10000")["data"]["result"]["result"]
        names = {node["node_id"]: node["node_name"] for node in nodes}
        found = self.get("/api/v0/actors?detail=1&limit=10000")["data"]["result"]["result"]
        return [
            RayActor(actor["name"], names.get(actor["node_id"], ""), int(actor["pid"]), int(actor["num_restarts"]))
            for actor in found
            if actor["state"] == "ALIVE" and str(actor["name"]).startswith((LEARNER, WORKER))
        ]

    def _parse(self, content: bytes) -> Any:
        try:
            return parse_json(content)
        except ValueError as error:
            raise ClusterError(f"the head at {self.url} answers what is not JSON: {error}") from None

    def _ask(self, method: str, path: str, content: bytes | None) -> bytes:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data=content, headers=headers, method=method)
        # Without proxies: the head is on the loopback interface, and the token is not for others.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=20) as response:
                body: bytes = response.read()
                return body
        except urllib.error.HTTPError as error:
            last = (error.read().decode(errors="replace").strip().splitlines() or [""])[-1]
            reason = "refuses the token" if error.code in (401, 403) else f"answers {error.code}: {last[:200]}"
            raise ClusterError(f"the head at {self.url} {reason}", code=error.code) from None
        except (OSError, ValueError) as error:
            raise ClusterError(f"the head at {self.url} does not answer: {error}") from None
