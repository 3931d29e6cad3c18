"""The adapters by name. One is imported when a profile names it, never before."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

from runner.engine.errors import InvalidConfig
from runner.lm.adapters.adapter import Adapter

# Name to module and class.
ADAPTERS: Mapping[str, tuple[str, str]] = {
    "scripted": ("scripted", "ScriptedAdapter"),
    "openai_compatible": ("openai_compatible", "OpenAICompatibleAdapter"),
    "anthropic": ("anthropic", "AnthropicAdapter"),
    "local": ("local", "LocalAdapter"),
    "litellm": ("litellm", "LiteLLMAdapter"),
}


class Adapters:
    """The adapters of a process, each made on first use. Gateways may share them: connections and the
    embedded model are then there once."""

    def __init__(self) -> None:
        self._made: dict[str, Adapter] = {}

    def named(self, name: str) -> Adapter:
        """The adapter of this name; InvalidConfig lists what there is."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Adapter:
        if name == "instructor":
            from runner.lm.adapters.instructor import InstructorAdapter

            return InstructorAdapter(self.named)  # it stands over the others
        if name not in ADAPTERS:
            known = ", ".join(sorted([*ADAPTERS, "instructor"]))
            raise InvalidConfig(f"There is no LM adapter '{name}'. LM adapters: {known}.")
        module, kind = ADAPTERS[name]
        make = getattr(import_module(f"runner.lm.adapters.{module}"), kind)
        return cast("Callable[[], Adapter]", make)()

    async def aclose(self) -> None:
        """Release connections and processes."""
        for adapter in self._made.values():
            await adapter.aclose()
