"""Names of channel-layer groups. They are made of ids that the server looked up, never of what a client
sent, so nobody can name themselves into a group."""

from uuid import UUID

WORKERS = "workers"
RUNNERS = "runners"
"""Those who execute runs, asked for the text of a stream that is on its way."""


def run_group(run: UUID) -> str:
    return f"run.{run.hex}"


def project_group(project: UUID) -> str:
    return f"project.{project.hex}"


def draft_group(pipeline: UUID) -> str:
    """Who has the pipeline open in an editor."""
    return f"draft.{pipeline.hex}"


def user_group(user_id: int) -> str:
    """The sockets of one person, told when what they may do has changed."""
    return f"user.{user_id}"
