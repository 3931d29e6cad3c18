"""What the executor asks of a DSPy worker: the payloads of its two operations, and the tools by which the
worker reaches the host in turn. Plain values only."""

from typing import Any, Literal

import msgspec

MODULE = "module"
RETRIEVE = "retrieve"
REWARD = "reward"
"""Answers `{inputs, outputs}` of one prediction with a number. Its name is no tool's: see TOOL_PREFIX."""

UNSERIALISABLE = "$unserialisable"
"""The one key of an object that stands for a value that is no JSON; its type is the value."""

TOOL_PREFIX = "tool:"
"""Before the name of a tool that a model chose, so that none ever meets one of the host's own."""


class FieldSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field. `type` is the canonical text of its type; an input that is not `declared` takes
    any value. `constraints` are keyword arguments of pydantic's Field."""

    name: str
    type: str
    declared: bool = True
    description: str = ""
    constraints: dict[str, Any] = {}


class SignatureSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A signature, taken apart, so that no worker ever parses a user's text with DSPy's parser (which
    imports the modules that a text names). `types` maps the user's own types to their JSON Schema."""

    inputs: tuple[FieldSpec, ...]
    outputs: tuple[FieldSpec, ...]
    instructions: str = ""
    types: dict[str, dict[str, Any]] = {}


class LMSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How DSPy talks to the host's gateway. `adapter` is how it writes and reads; `structured` says
    that the gateway can hold an answer to a JSON Schema. None leaves a setting to the profile."""

    adapter: Literal["chat", "json", "compact"] = "chat"
    structured: bool = False
    temperature: float | None = None
    max_tokens: int | None = None


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A host tool as a module sees it. `parameters` is a JSON Schema of an object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}


class ModulePayload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Run one DSPy module. `node` is the tag by which its LM calls are recognised.

    `inner` is the module that a wrapper runs. `reward` says in words what is rewarded; the host has the
    reward itself. `run_code` allows modules that run what the language model writes.
    """

    node: str
    module: str
    signature: SignatureSpec
    inputs: dict[str, Any]
    lm: LMSettings
    options: dict[str, Any] = {}
    demos: tuple[dict[str, Any], ...] = ()
    inner: str = ""
    inner_options: dict[str, Any] = {}
    reward: str = ""
    tools: tuple[ToolSpec, ...] = ()
    run_code: bool = False


class RetrievePayload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Ask ColBERTv2 for passages. Without `url` the host answers from `collection`."""

    query: str
    k: int
    collection: str = ""
    candidates: int = 0
    url: str = ""
