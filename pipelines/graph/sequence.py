"""The list form of a pipeline: steps one after another, with parallel branches. Sugar over the graph.

Fields flow forward by name: a step reads every name that was produced before it, and a name that
nobody produced becomes an input of the pipeline. A field has one producer, except `results`, which
every parallel group binds anew, and fields that a module adds by itself (`reasoning`), which may come
twice as long as nobody reads them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from pipelines.graph.graph import ANY, NODE_ID, PORT_NAME, Edge, Graph, GraphError, Node, Port
from pipelines.graph.kinds import kind_named
from pipelines.graph.kinds.kind import expression_variables
from pipelines.graph.kinds.predict import REASONING
from pipelines.graph.policy import StepPolicy
from pipelines.graph.ports import known_type, node_ports

RESULTS = "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step before it has a place. `reads` and `gives` map a port to another field name."""

    kind: str
    name: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    reads: Mapping[str, str] = field(default_factory=dict)
    gives: Mapping[str, str] = field(default_factory=dict)
    pinned: Graph | None = None  # of a `pipeline` step: the graph that its version names


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """Branches that run together. Each is a step or a list of steps; '' leaves the naming to us."""

    branches: "tuple[tuple[str, Item | Sequence[Item]], ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A map, reduce or loop and the steps of its body, which read what they are given by name.

    A map gives the fields of its last step, as lists. Reduce and loop give those that the body reads
    and makes anew, which is what they carry on; a loop also what its end is told by, and its last step's.
    """

    step: Step
    steps: "Sequence[Step | Parallel | Container]"


type Item = Step | Parallel | Container


@dataclass(frozen=True, slots=True)
class _Field:
    """A field in flight: which output carries it. `implicit`: a module added it by itself; `anew`: a
    reduce or loop made it of the field of the same name."""

    node: str
    port: str
    type: str
    implicit: bool = False
    anew: bool = False
    shadows: str = ""


type _Fields = dict[str, _Field]


def sequence(items: Sequence[Item], *, name: str = "", description: str = "") -> Graph:
    """The graph of a list of steps. Raises GraphError naming step, field and mend."""
    if not items:
        raise GraphError("A pipeline needs at least one step.")
    builder = _Builder()
    last = builder.chain(items, {}, None)
    return builder.graph(last, name, description)


class _Builder:
    def __init__(self, taken: Collection[str] = ()) -> None:
        """`taken` are ids that nodes elsewhere have. A body is built with them, as a graph of its own."""
        self.taken = taken
        self.nodes: dict[str, Node] = {}
        self.pinned: dict[str, Graph] = {}
        self.edges: list[Edge] = []
        self.inputs: dict[str, Port] = {}
        self.readers: dict[str, str] = {}

    def graph(self, last: _Fields, name: str, description: str) -> Graph:
        given = [{"name": port.name, "type": port.type} for port in self.inputs.values()]
        results = [
            {"name": field_name, "type": known_type(made.type)} for field_name, made in last.items()
        ]
        nodes = [
            Node(id="input", kind="input", config={"fields": given}),
            *self.nodes.values(),
            Node(id="output", kind="output", config={"fields": results}),
        ]
        for field_name, made in last.items():
            self._connect(made, "output", field_name)
        graph = Graph.of(nodes, self.edges, name=name, description=description)
        return replace(graph, pipelines=MappingProxyType(self.pinned))

    def chain(
        self, items: Sequence[Item], own: _Fields, outer: Mapping[str, _Field] | None
    ) -> _Fields:
        """Add the steps in order; the fields that the last one gives. `own` collects what this chain
        produced; `outer` is what a branch can read besides, None at the top level."""
        asked = self.inputs if outer is None else ()
        outer = outer or {}
        made: _Fields = {}
        for item in items:
            if isinstance(item, Parallel):
                made = self._parallel(item, {**outer, **own})
            elif isinstance(item, Step):
                made = self._step(item, {**outer, **own})
            elif isinstance(item, Container):
                made = self._container(item, {**outer, **own})
            else:
                raise GraphError(
                    f"A pipeline is made of steps; {item!r} is none. "
                    "Use dspex.native(…), dspex.dspy(…), dspex.parallel(…) or dspex.map(…)."
                )
            self._produce(made, own, asked)
        return made

    def body(self, items: Sequence[Item], config: Mapping[str, Any], kind: str) -> _Fields:
        """Add the steps of a container's body, which may make anew what they read; its fields."""
        own: _Fields = {}
        made = self.chain(items, own, {})
        if kind == "map":
            return made
        carried = {name: field_ for name, field_ in own.items() if name in self.inputs}
        if kind == "reduce":
            return carried or made
        try:
            told = expression_variables(str(config.get("until", "")))
        except ValueError:
            told = ()  # the node's config says what is wrong with it
        return {**made, **carried, **{name: own[name] for name in told if name in own}}

    def _produce(self, made: _Fields, own: _Fields, asked: Collection[str]) -> None:
        """Let the fields flow on. What a branch produces stays in it, so there only its own fields
        can clash; at the top level the pipeline's inputs can too."""
        for name, field_ in made.items():
            before = own.get(name)
            if name == RESULTS or field_.anew or (before is None and name not in asked):
                own[name] = field_
            elif before is not None and before.implicit and field_.implicit:
                own[name] = _Field(
                    field_.node, field_.port, field_.type, implicit=True, shadows=before.node
                )
            else:
                raise self._clash(name, field_, before)

    def _clash(self, name: str, field_: _Field, before: _Field | None) -> GraphError:
        first = (
            f"step '{before.node}' produces it already"
            if before
            else f"step '{self.readers[name]}' reads it as an input of the pipeline"
        )
        return GraphError(
            f"Step '{field_.node}' produces the field '{name}', but {first}. A field has one "
            f"producer: rename it in a signature, or with gives={{'{field_.port}': 'another_name'}}."
        )

    def _step(self, step: Step, fields: Mapping[str, _Field]) -> _Fields:
        node = self._node(step)
        if step.pinned is not None:
            self.pinned |= {**step.pinned.pipelines, str(step.config["version"]): step.pinned}
        return self._join(step, node, Graph.of([node]), fields)

    def _container(self, item: Container, fields: Mapping[str, _Field]) -> _Fields:
        if not item.steps:
            raise GraphError(f"A {item.step.kind} needs at least one step in its body.")
        node = self._node(item.step, container=True)
        inner = _Builder({*self.nodes, *self.taken, "input", "output"})
        made = inner.body(item.steps, item.step.config, item.step.kind)
        body = inner.graph(made, "", "")
        self.pinned |= inner.pinned
        ends = {"input": self._free_id(f"{node.id}-in"), "output": self._free_id(f"{node.id}-out")}
        for each in body.nodes.values():
            renamed = replace(each, id=ends.get(each.id, each.id), parent=each.parent or node.id)
            self.nodes[renamed.id] = renamed
        for edge in body.edges:
            source, target = ends.get(edge.source, edge.source), ends.get(edge.target, edge.target)
            self.edges.append(replace(edge, source=source, target=target))
        return self._join(item.step, node, Graph.of(self.nodes.values()), fields)

    def _join(self, step: Step, node: Node, graph: Graph, fields: Mapping[str, _Field]) -> _Fields:
        """Connect the node's inputs to the fields in flight; the fields that it gives."""
        try:
            ports = node_ports(graph, node)
        except ValidationError as error:
            raise GraphError(_sentence(node, error)) from None
        self._check_names(node.id, "reads", step.reads, ports.inputs)
        self._check_names(node.id, "gives", step.gives, ports.outputs)
        for port in ports.inputs:
            self._read(node.id, port, step.reads.get(port.name, port.name), fields)
        asked = step.config.get("signature", "")
        taken = [step.reads.get(port.name, port.name) for port in ports.inputs]
        made: _Fields = {}
        for port in ports.outputs:
            name = step.gives.get(port.name, port.name)
            field_ = _Field(
                node.id,
                port.name,
                port.type,
                implicit=_is_implicit(step, port, asked),
                anew=name in taken and step.kind in ("reduce", "loop"),
            )
            if name in made:
                raise self._clash(name, field_, made[name])
            made[name] = field_
        return made

    def _node(self, step: Step, *, container: bool = False) -> Node:
        kind = kind_named(step.kind)
        if kind.container and not container:
            raise GraphError(
                f"A {step.kind} can't stand in a list of steps without its own: "
                f"dspex.{step.kind}([…])."
            )
        if kind.group == "interface":
            raise GraphError(f"A {step.kind} can't stand in a list of steps. Build a Graph for it.")
        node = Node(
            id=self._free_id(step.name or step.kind),
            kind=step.kind,
            kind_version=kind.version,
            config=dict(step.config),
            policy=dict(step.policy),
        )
        try:
            StepPolicy.model_validate(node.policy)
        except ValidationError as error:
            raise GraphError(_sentence(node, error)) from None
        self.nodes[node.id] = node
        return node

    def _free_id(self, wanted: str) -> str:
        if not NODE_ID.match(wanted):
            raise GraphError(
                f"'{wanted}' can't be a step's name: it starts with a small letter and has only "
                "small letters, digits, _ and -."
            )
        return _free_name(wanted, {*self.nodes, *self.taken, "input", "output"})

    def _check_names(
        self, node: str, what: str, names: Mapping[str, str], ports: Sequence[Port]
    ) -> None:
        known = [port.name for port in ports]
        for name, field_name in names.items():
            if name not in known:
                raise GraphError(
                    f"Step '{node}', {what}: there is no port '{name}'. Ports: {', '.join(known)}."
                )
            if not _is_field_name(field_name):
                raise GraphError(
                    f"Step '{node}', {what}: {field_name!r} can't name a field: use letters, "
                    "digits and _ only."
                )

    def _read(self, node: str, port: Port, name: str, fields: Mapping[str, _Field]) -> None:
        made = fields.get(name)
        if made is None:
            if not port.required:
                return
            self._ask(name, port, node)
            made = _Field("input", name, port.type)
        elif made.shadows:
            raise GraphError(
                f"Step '{node}' reads the field '{name}', which both '{made.shadows}' and "
                f"'{made.node}' produce. Give one of them another name: gives={{'{name}': '…'}}."
            )
        self._connect(made, node, port.name)

    def _ask(self, name: str, port: Port, node: str) -> None:
        known = self.inputs.get(name)
        if known is None or known.type == ANY:
            self.inputs[name] = Port(name=name, type=known_type(port.type))
        self.readers.setdefault(name, node)

    def _connect(self, made: _Field, node: str, port: str) -> None:
        self.edges.append(
            Edge(source=made.node, source_port=made.port, target=node, target_port=port)
        )

    def _parallel(self, group: Parallel, fields: Mapping[str, _Field]) -> _Fields:
        if not group.branches:
            raise GraphError("A parallel group needs at least one branch.")
        ports: dict[str, _Field] = {}
        own = {given for given, _ in group.branches if given}
        taken: set[str] = set()
        for given, branch in group.branches:
            steps = [branch] if isinstance(branch, Step | Parallel | Container) else list(branch)
            if not steps:
                raise GraphError(f"The branch '{given}' of a parallel group has no step.")
            if given and not _is_field_name(given):
                raise GraphError(f"'{given}' can't name a branch: use letters, digits and _ only.")
            name = given or _free_name(_kind_of(steps[-1]), taken | own)
            taken.add(name)
            for field_name, made in self.chain(steps, {}, fields).items():
                ports[f"{name}.{field_name}"] = made
        node = Node(
            id=self._free_id(RESULTS),
            kind="merge",
            config={"inputs": list(ports), "strategy": "dict"},
        )
        self.nodes[node.id] = node
        for port, made in ports.items():
            self._connect(made, node.id, port)
        return {RESULTS: _Field(node.id, "value", ANY)}


def _is_implicit(step: Step, port: Port, signature: str) -> bool:
    return port.name == REASONING and REASONING not in signature and port.name not in step.gives


def _is_field_name(name: object) -> bool:
    return isinstance(name, str) and bool(PORT_NAME.match(name)) and "." not in name


def _kind_of(item: Item) -> str:
    if isinstance(item, Container):
        item = item.step
    return item.kind if isinstance(item, Step) else RESULTS


def _free_name(wanted: str, taken: set[str]) -> str:
    """`wanted`, or `wanted_2`, `wanted_3`, …"""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def _sentence(node: Node, error: ValidationError) -> str:
    # A misspelt option is also a missing one; what was written is named first.
    found = error.errors(include_url=False, include_input=False)
    first = min(found, key=lambda each: each["type"] != "extra_forbidden")
    place = ".".join(map(str, first["loc"])) or "configuration"
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        policy = [name for name in StepPolicy.model_fields if name != "backend"]
        own = kind_named(node.kind).config.model_fields
        known = ", ".join([*own, *policy, "name", "reads", "gives"])
        return f"Step '{node.id}': a {node.kind} takes no option '{place}'. Options: {known}."
    return f"Step '{node.id}', {place}: {first['msg'].removeprefix('Value error, ')}"
