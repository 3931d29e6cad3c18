"""The adapters by name. One is imported when a profile names it, never before."""

from collections.abc import Callable, Mapping

from runner.engine.errors import InvalidConfig
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


class Adapters:
    """The adapters of a process, each made on first use. Gateways may share them: connections and the
    embedded model are then there once."""

    def __init__(self) -> None:
        self._made: dict[str, Adapter] = {}

    def named(self, name: str) -> Adapter:
        """The adapter of this name; InvalidConfig lists what there is."""
        if name not in self._made:
            make = ADAPTERS.get(name)
            if make is None:
                known = ", ".join(sorted(ADAPTERS))
                raise InvalidConfig(f"There is no LM adapter '{name}'. LM adapters: {known}.")
            self._made[name] = make()
        return self._made[name]

    async def aclose(self) -> None:
        """Release connections and processes."""
        for adapter in self._made.values():
            await adapter.aclose()
