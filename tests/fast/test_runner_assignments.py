"""What a claimed run is executed with: pinned pipelines, and where its requests may go."""

from dataclasses import replace
from typing import Any

import pytest

from pipelines import services
from pipelines.graph.graph import Graph, Node
from pipelines.graph.kinds.sub_pipeline import pinned
from pipelines.models import ApprovedHost
from runner.dispatcher.assignments import assignment_of
from runner.host import InvalidPipeline
from runner.models import Run
from runner.services import start_run
from tests.graphs import chain, edges, interface, node
from tests.runner_world import FakeHosts, World, db, dispatching, ended

pytest_plugins = ["tests.runner_fixtures"]

HOME = "https://api.example.com"


def assigned(run: Run) -> Any:
    return assignment_of(Run.objects.select_related("pipeline__project", "author").get(pk=run.pk))


def pinning(version: str, inner: Graph) -> Graph:
    return Graph.of(
        [
            interface("input", "x"),
            Node(id="sub", kind="pipeline", config=pinned(version, inner)),
            interface("output", "y"),
        ],
        edges("input.x -> sub.x\nsub.y -> output.y"),
    )


async def test_a_run_executes_the_versions_that_it_pins(world: World) -> None:
    inner = await db(world.version, chain(2))
    hosts = FakeHosts()
    run = await db(world.run, pinning(str(inner.pk), chain(2)))
    async with dispatching(hosts):
        run = await ended(run)
    assert run.failure_message == ""
    assert (run.outputs, hosts.steps) == ({"y": "a++"}, ["sub/s0", "sub/s1"])


def test_a_run_that_pins_what_is_not_there_does_not_start(world: World) -> None:
    version = world.version(pinning("11111111-1111-1111-1111-111111111111", chain(1)))
    with pytest.raises(InvalidPipeline, match="which this project does not have"):
        start_run(user=world.person("editor"), version=version, inputs={"x": "a"})


def fetching(**config: Any) -> Graph:
    return Graph.of(
        [
            node("get", "http_request", url=f"{HOME}/", **config),
            interface("output", "body"),
        ],
        edges("get.body -> output.body"),
    )


def approve(world: World, origin: str = HOME, **more: Any) -> ApprovedHost:
    host: ApprovedHost = ApprovedHost.objects.create(origin=origin, **more)
    return host


def test_requests_may_go_to_approved_hosts(world: World) -> None:
    approve(world)
    approve(world, "http://intranet", private_network=True)
    sites = assigned(world.run(fetching(), inputs={})).names.sites
    assert {origin: site.private_network for origin, site in sites.approved.items()} == {
        HOME: False,
        "http://intranet": True,
    }
    assert sites.keys == {}


def test_a_graph_without_requests_has_nowhere_to_send(world: World) -> None:
    approve(world)
    assert assigned(world.run()).names.sites.approved == {}


def test_a_colbert_server_is_reached_where_it_is_approved(world: World) -> None:
    approve(world)
    graph = Graph.of(
        [
            interface("input", "query"),
            node("look", "colbert", url=f"{HOME}/api/search"),
            interface("output", "passages"),
        ],
        edges("input.query -> look.query\nlook.passages -> output.passages"),
    )
    sites = assigned(world.run(graph, inputs={"query": "a"})).names.sites
    assert list(sites.approved) == [HOME]


def store(world: World, name: str, secret: str) -> None:
    services.store_credential(
        project=world.project, user=world.person("owner"), name=name, host=approve_once(world),
        secret=secret,
    )  # fmt: skip


def approve_once(world: World) -> ApprovedHost:
    return ApprovedHost.objects.filter(origin=HOME).first() or approve(world)


def test_only_keys_that_the_graph_names_are_read(world: World) -> None:
    store(world, "mine", "secret-of-mine")
    store(world, "other", "secret-of-other")
    keys = assigned(world.run(fetching(credential="mine"), inputs={})).names.sites.keys
    assert {name: (key.origin, key.secret) for name, key in keys.items()} == {
        "mine": (HOME, "secret-of-mine")
    }


def test_a_pinned_pipeline_s_requests_count_too(world: World) -> None:
    approve(world)
    inner = replace(fetching(), nodes=fetching().nodes)
    version = world.version(inner)
    graph = Graph.of(
        [
            Node(id="sub", kind="pipeline", config=pinned(str(version.pk), inner)),
            interface("output", "body"),
        ],
        edges("sub.body -> output.body"),
    )
    assert HOME in assigned(world.run(graph, inputs={})).names.sites.approved
