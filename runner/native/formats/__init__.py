"""Between a signature and a model: how it is asked and how its answer is read."""

from runner.native.formats.chat import CHAT
from runner.native.formats.compact import COMPACT
from runner.native.formats.format import Format, Prompt, Task
from runner.native.formats.json_object import JSON

__all__ = ["COMPACT", "FORMATS", "JSON", "Format", "Prompt", "Task"]

FORMATS: dict[str, Format] = {format_.name: format_ for format_ in (CHAT, JSON, COMPACT)}
