"""The messages of the bridge: one struct per frame kind. Values are JSON all the way down."""

from typing import Any

import msgspec

from runner.bridge.frames import Kind
from runner.bridge.tables import TableRef
from runner.engine.errors import Failure
from runner.lm.types import LMRequest, LMResponse

TOOL_WINDOW = 16
"""Parts of a tool's answer that may be on their way before the worker has said that it took some."""

UNPARSABLE = "unparsable"
"""The trace by which a worker says that the answer to its LM request `request` could not be read."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all; a message without fields is the base itself."""


class Hello(Message, frozen=True):
    """`formats` by preference. `shared`: this side passes descriptors of shared memory. `worker` is the
    host's number for this worker, `pool` its pool's name. `threads`: so many calls may be sent at once."""

    protocol: int
    formats: tuple[str, ...]
    shared: bool = False
    worker: int = 0
    pool: str = ""
    threads: int = 1


class ModuleInfo(Message, frozen=True):
    """A DSPy module that can be a node. `options` is a JSON Schema of its plain options. `takes` are
    the roles that the host fills: signature, inner, reward, tools, interpreter, completions, examples."""

    name: str
    doc: str = ""
    options: dict[str, Any] = {}
    takes: tuple[str, ...] = ("signature",)
    deprecated: bool = False

    @property
    def runs_code(self) -> bool:
        """Whether it runs what a language model writes, in DSPy's sandbox."""
        return "interpreter" in self.takes


class Measure(Message, frozen=True):
    """Something that a worker was to be kept from; `detail` says how, or why it could not be."""

    name: str
    applied: bool = False
    detail: str = ""


class Ready(Message, frozen=True):
    """What a worker is. `versions` proves what was loaded; `operations` are the names that a call
    may use, `modules` the DSPy modules that its `module` operation can run; `isolation` is what it did
    to shut itself in. It does `threads` calls at once, at most as many as it was asked for."""

    protocol: int
    format: str
    formats: tuple[str, ...] = ()
    shared: bool = False
    threads: int = 1
    pid: int = 0
    versions: dict[str, str] = {}
    operations: tuple[str, ...] = ()
    modules: tuple[ModuleInfo, ...] = ()
    isolation: tuple[Measure, ...] = ()

    def module(self, name: str) -> ModuleInfo | None:
        """What is known of the module of this name; None: the worker does not have it."""
        return next((info for info in self.modules if info.name == name), None)


class CallMessage(Message, frozen=True):
    """Do `operation` with `payload`; what that holds is between the executor and the operation."""

    operation: str
    payload: dict[str, Any] = {}
    tables: tuple[TableRef, ...] = ()


class ChunkMessage(Message, frozen=True):
    """A piece of a stream; `offset` counts the characters of this field that came before."""

    field: str
    text: str
    offset: int = 0


class TraceMessage(Message, frozen=True):
    name: str
    data: dict[str, Any] = {}


class LMRequestMessage(Message, frozen=True):
    """`call` is the number of the CALL this belongs to; `node` is the tag of the module that asks.
    Which predictor of it asks is in the request."""

    call: int
    request: LMRequest
    node: str = ""


class LMResponseMessage(Message, frozen=True):
    """Either a response or a failure. With `abort`, the whole call ends instead of the module
    hearing an error it might treat as a bad answer (DSPy's Refine returns None, optimizers score 0)."""

    response: LMResponse | None = None
    failure: Failure | None = None
    abort: bool = False


class ToolRequestMessage(Message, frozen=True):
    """With `stream`, the parts of the answer are wanted as they come."""

    call: int
    tool: str
    arguments: dict[str, Any] = {}
    stream: bool = False
    tables: tuple[TableRef, ...] = ()


class ToolResponseMessage(Message, frozen=True):
    """As LMResponseMessage, with any JSON value."""

    value: Any = None
    failure: Failure | None = None
    abort: bool = False
    tables: tuple[TableRef, ...] = ()


class ToolChunkMessage(Message, frozen=True):
    """A part of the answer of a tool; the response has the whole."""

    value: Any


class ToolFlowMessage(Message, frozen=True):
    """Of the parts of this request's answer, so many more were taken; with `stop`, its tool is to end."""

    call: int
    taken: int = 0
    stop: bool = False


class ResultMessage(Message, frozen=True):
    """`seconds` the worker spent, waiting for the host included."""

    value: Any
    seconds: float = 0.0
    tables: tuple[TableRef, ...] = ()


class ErrorMessage(Message, frozen=True):
    """`cause` is the number of the LM or tool request whose failure this is, 0 for none: the host
    still has the error it raised there, and raises that. `stuck`: its thread goes on all the same."""

    failure: Failure
    cause: int = 0
    seconds: float = 0.0
    stuck: bool = False


class Forked(Message, frozen=True):
    pid: int


class Exited(Message, frozen=True):
    """Exactly one of `code` and `signal` is set."""

    pid: int
    code: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        how = f"signal {self.signal}" if self.signal is not None else f"exit code {self.code}"
        return f"process {self.pid} ended with {how}"


class Kill(Message, frozen=True):
    pid: int


TYPES: dict[Kind, type[Message]] = {
    Kind.HELLO: Hello,
    Kind.READY: Ready,
    Kind.CALL: CallMessage,
    Kind.CHUNK: ChunkMessage,
    Kind.TRACE: TraceMessage,
    Kind.LM_REQUEST: LMRequestMessage,
    Kind.LM_RESPONSE: LMResponseMessage,
    Kind.TOOL_REQUEST: ToolRequestMessage,
    Kind.TOOL_RESPONSE: ToolResponseMessage,
    Kind.TOOL_CHUNK: ToolChunkMessage,
    Kind.TOOL_FLOW: ToolFlowMessage,
    Kind.RESULT: ResultMessage,
    Kind.ERROR: ErrorMessage,
    Kind.CANCEL: Message,
    Kind.PING: Message,
    Kind.PONG: Message,
    Kind.SHUTDOWN: Message,
    Kind.TABLE: Message,  # its body is no message
    Kind.FORK: Message,
    Kind.FORKED: Forked,
    Kind.EXITED: Exited,
    Kind.KILL: Kill,
}

VALUES = {
    Kind.CALL: "payload",
    Kind.RESULT: "value",
    Kind.TOOL_REQUEST: "arguments",
    Kind.TOOL_RESPONSE: "value",
}
"""The field of a message that may hold tables; its `tables` say where."""

EMPTY = Message()
