"""The adapters by name. One is imported when a profile names it, never before."""

from collections.abc import Callable, Mapping

from runner.lm.adapters.adapter import Adapter


def _scripted() -> Adapter:
    from runner.lm.adapters.scripted import ScriptedAdapter

    return ScriptedAdapter()


def _openai_compatible() -> Adapter:
    from runner.lm.adapters.openai_compatible import OpenAICompatibleAdapter

    return OpenAICompatibleAdapter()


def _local() -> Adapter:
    from runner.lm.adapters.local import LocalAdapter

    return LocalAdapter()


ADAPTERS: Mapping[str, Callable[[], Adapter]] = {
    "scripted": _scripted,
    "openai_compatible": _openai_compatible,
    "local": _local,
}
