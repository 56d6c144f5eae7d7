"""What the head of a cluster tells over HTTP, to whom has the token."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

__all__ = ["HeadUnreachable", "get_json", "list_nodes"]


class HeadUnreachable(RuntimeError):
    """The head does not answer, or does not let us in."""


def get_json(url: str, token: str, *, seconds: float = 10.0) -> Any:
    """Return what stands at a URL of the head.

    Raises:
        HeadUnreachable: it does not answer, or the token is not its own.
    """
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    # Without proxies: the head is on the loopback interface, and the token is not for others.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=seconds) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        reason = "refuses the token" if error.code in (401, 403) else f"answers {error.code}"
        raise HeadUnreachable(f"the head at {url} {reason}") from None
    except (OSError, ValueError) as error:
        raise HeadUnreachable(f"the head at {url} does not answer: {error}") from None


def list_nodes(url: str, token: str) -> dict[str, dict[str, Any]]:
    """Return the nodes that are alive by name: resources and object store in use; errors as ``get_json``."""
    found = get_json(f"{url}/api/v0/nodes?detail=1&limit=10000", token)["data"]["result"]["result"]
    used = {
        node["raylet"].get("nodeId"): node["raylet"].get("objectStoreUsedMemory")
        for node in get_json(f"{url}/nodes?view=summary", token)["data"]["summary"]
        if "raylet" in node
    }
    return {
        node["node_name"]: {
            "cpus": node["resources_total"].get("CPU", 0),
            "gpus": node["resources_total"].get("GPU", 0),
            "object_store_bytes": node["resources_total"].get("object_store_memory", 0),
            "object_store_used": used.get(node["node_id"]),
        }
        for node in found
        if node["state"] == "ALIVE"
    }
