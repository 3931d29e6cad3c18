"""Host tools: functions of this process that a language model may call from a DSPy module.

An installed app registers them (in its `AppConfig.ready`); an administrator allows them to a pipeline.
A worker knows a tool's name and schema only. What the model passes is checked here against that schema,
whatever the worker checked before.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from runner.bridge.tool_parts import in_thread
from runner.engine.errors import InvalidInput
from runner.engine.executor import Call

type ToolFunction = Callable[[Call, dict[str, Any]], Awaitable[Any]]


class InvalidArguments(InvalidInput):
    """The arguments of a tool are not those that it takes."""

    code = "invalid_arguments"


class Arguments(BaseModel):
    """Base of what a tool takes."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTool:
    """A tool. `run` gives JSON, a `Table`, or an asynchronous generator of the answer's parts. One with
    `side_effects` is never repeated by itself; one that needs `approval` is called only when a person has
    let it."""

    name: str
    description: str
    arguments: type[BaseModel]
    run: ToolFunction
    side_effects: bool = False
    approval: bool = False

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        *,
        name: str = "",
        side_effects: bool = False,
        approval: bool = False,
    ) -> Self:
        """A tool from a function: its name, docstring and annotated parameters. One that is no coroutine
        runs in a thread. A generator's parts are shown as they come: texts that are joined, or a list."""
        parameters = inspect.signature(function, eval_str=True).parameters.values()
        fields: dict[str, Any] = {
            each.name: (
                Any if each.annotation is each.empty else each.annotation,
                ... if each.default is each.empty else each.default,
            )
            for each in parameters
        }
        model = create_model("Arguments", __base__=Arguments, **fields)

        async def run(call: Call, arguments: dict[str, Any]) -> Any:
            if inspect.isasyncgenfunction(function):
                return function(**arguments)
            if inspect.isgeneratorfunction(function):
                return in_thread(function(**arguments))
            if inspect.iscoroutinefunction(function):
                return await function(**arguments)
            return await asyncio.to_thread(function, **arguments)

        return cls(
            name=name or function.__name__,
            description=inspect.cleandoc(function.__doc__ or ""),
            arguments=model,
            run=run,
            side_effects=side_effects,
            approval=approval,
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        return self.arguments.model_json_schema()

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the tool's types, defaults filled in. InvalidArguments names each that is
        wrong."""
        try:
            made = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            problems = "; ".join(
                f"'{'.'.join(map(str, each['loc']))}': {each['msg']}" for each in error.errors()
            )
            known = ", ".join(self.arguments.model_fields) or "none"
            raise InvalidArguments(
                f"The tool '{self.name}' was called with wrong arguments: {problems}. It takes: {known}."
            ) from None
        return {name: getattr(made, name) for name in type(made).model_fields}


REGISTERED: dict[str, HostTool] = {}
"""The tools of the installed apps, by name."""


def register(tool: HostTool) -> HostTool:
    """Make a tool known to this installation. A second one of a name is a mistake."""
    if tool.name in REGISTERED:
        raise ValueError(f"There is a host tool '{tool.name}' already. Give this one another name.")
    REGISTERED[tool.name] = tool
    return tool


OPEN_TOOLS = {"search": "Find passages of a collection that answer a query, best first."}
"""What every pipeline may call, with what it does."""


# Without a docstring: that would be shown to the model.
class Query(Arguments):
    query: str
    collection: str = "docs"
    k: int = Field(5, ge=1, le=50)


def search_tool(retrieve: Callable[[Call, Mapping[str, Any]], Awaitable[Any]]) -> HostTool:
    """The tool that every pipeline has: it looks into the collections of its own project."""

    async def search(call: Call, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        rows = await retrieve(call, arguments)
        return [{"text": row["text"], "score": row["score"]} for row in rows]

    return HostTool(
        name="search",
        description=OPEN_TOOLS["search"],
        arguments=Query,
        run=search,
    )
