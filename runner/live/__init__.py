from runner.live import drafts as drafts
from runner.live.groups import RUNNERS, WORKERS, draft_group, project_group, run_group, user_group
from runner.live.publisher import Publisher, tell
from runner.live.reading import Since, as_json, since
from runner.live.streams import HERE, OpenStreams

__all__ = [
    "HERE",
    "RUNNERS",
    "WORKERS",
    "OpenStreams",
    "Publisher",
    "Since",
    "as_json",
    "draft_group",
    "project_group",
    "run_group",
    "since",
    "tell",
    "user_group",
]
