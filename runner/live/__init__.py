from runner.live.groups import WORKERS, project_group, run_group, user_group
from runner.live.publisher import Publisher, tell
from runner.live.reading import Since, as_json, since
from runner.live.streams import HERE, OpenStreams

__all__ = [
    "HERE",
    "WORKERS",
    "OpenStreams",
    "Publisher",
    "Since",
    "as_json",
    "project_group",
    "run_group",
    "since",
    "tell",
    "user_group",
]
