"""What an operation did, as people say it."""

from collections.abc import Mapping
from typing import Any

type Stored = dict[str, Any]


def words(
    operation: Stored, titles: Mapping[str, str], kinds: Mapping[str, str] | None = None
) -> str:
    """One line about a stored operation. `titles` and `kinds` (titles of kinds) are of the nodes that
    there are now; one that is gone goes by its id."""

    def name(node: Any) -> str:
        return titles.get(str(node), str(node))

    match operation:
        case {"op": "add_node", "node": node}:
            return f"Added {name(node)}"
        case {"op": "remove_node", "node": node}:
            return f"Removed {name(node)}"
        case {"op": "move_nodes", "positions": positions}:
            nodes = list(positions)
            return f"Moved {name(nodes[0])}" if len(nodes) == 1 else f"Moved {len(nodes)} nodes"
        case {"op": "set_config" | "set_policy", "node": node, "field": field}:
            return f"Changed {str(field).replace('_', ' ')} of {name(node)}"
        case {"op": "rename", "node": node, "label": label}:
            was = (kinds or {}).get(str(node), str(node))
            return f"Named {was} “{label}”" if label else f"Took the name of {was} away"
        case {"op": "connect" | "disconnect" as op, "source": source, "target": target}:
            verb = "Connected" if op == "connect" else "Disconnected"
            return f"{verb} {name(source)} and {name(target)}, {operation.get('target_port')}"
        case {"op": "describe"}:
            named = operation.get("name")
            return f"Named the pipeline “{named}”" if named else "Changed the description"
        case {"op": "batch", "operations": [only]}:
            return words(only, titles, kinds)
        case {"op": "batch", "operations": [*parts]}:
            return _several(parts, name)
        case _:
            return "Changed the pipeline"


def _several(parts: list[Stored], name: Any) -> str:
    """The nodes of a batch matter more than what comes with them."""
    verbs = {"add_node": "Added", "remove_node": "Removed"}
    told = []
    for op, verb in verbs.items():
        nodes = [part.get("node") for part in parts if part.get("op") == op]
        if nodes:
            told.append(
                f"{verb} {name(nodes[0])}" if len(nodes) == 1 else f"{verb} {len(nodes)} nodes"
            )
    if not told and parts and all(part.get("op") == "set_config" for part in parts):
        nodes = list(dict.fromkeys(part.get("node") for part in parts))
        told = [f"Changed {name(nodes[0])}" if len(nodes) == 1 else f"Changed {len(nodes)} nodes"]
    return " · ".join(told) or f"{len(parts)} changes at once"
