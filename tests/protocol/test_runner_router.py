"""The router's page: who sees and changes what, and what it says."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from pipelines.graph.graph import Graph, Node
from pipelines.services import create_pipeline
from runner.bridge.messages import ModuleInfo, Ready
from runner.engine.figures import FAILURES_TO_OPEN, Outcome, Subject
from runner.models import RouterChange, RouterSubject, RunnerSettings
from runner.services import note_modules
from runner.services.router import keep_figures
from tests.runner_world import World

pytest_plugins = ["tests.runner_fixtures"]


def client_of(world: World, name: str = "owner") -> Client:
    client = Client()
    client.force_login(world.person(name))
    return client


def measured(world: World, **failing: bool) -> RouterSubject:
    """A predict that took native 0.1 s and DSPy 0.3 s, ten times each; `dspy=True` failed throughout."""
    about = Subject(world.project.pk.hex, "predict", "question -> <b>answer</b>", "fast")
    at = timezone.now().timestamp()
    for backend, seconds in (("native", 0.1), ("dspy", 0.3)):
        outcome = Outcome(seconds=seconds, at=at, cost=0.002, failed=failing.get(backend, False))
        told: Any = [(about, backend, outcome)] * 10
        keep_figures(told=told, now=timezone.now())
    return RouterSubject.objects.get()


def page(world: World, name: str = "owner", address: str = "runner:router") -> str:
    response = client_of(world, name).get(reverse(address))
    assert response.status_code == 200
    return str(response.content.decode())


def test_the_page_shows_figures_choice_and_reason(world: World) -> None:
    measured(world)
    text = page(world)
    assert "question -&gt; &lt;b&gt;answer" in text
    for said in ("0.10 s", "0.30 s", "$0.0020", "100 ms, dspy 300 ms", "Always DSPy"):
        assert said in text, said
    assert 'aria-label="DSPy: median 0.30 s, 95 % within 0.30 s"' in text


def test_a_backend_that_is_taken_out_is_shown_so(world: World) -> None:
    measured(world, dspy=True)
    text = page(world)
    assert "Taken out" in text and "dspy failed 10 times in a row" in text and "100%" in text
    assert FAILURES_TO_OPEN <= 10


def test_who_is_not_in_the_project_sees_nothing_of_it(world: World) -> None:
    row = measured(world)
    assert "question" not in page(world, "outsider")
    for name in ("router_pin", "router_reset"):
        address = reverse(f"runner:{name}", args=[row.pk])
        assert client_of(world, "outsider").post(address).status_code == 404
        assert client_of(world, "editor").post(address).status_code == 403
        assert client_of(world).get(address).status_code == 405
        assert Client().post(address).status_code == 302
    assert not RouterChange.objects.exists()


def test_who_may_not_change_it_gets_no_buttons(world: World) -> None:
    measured(world)
    assert "Always DSPy" not in page(world, "viewer")


def test_an_owner_pins_and_resets(world: World) -> None:
    row, client = measured(world), client_of(world)
    answer = client.post(reverse("runner:router_pin", args=[row.pk]), {"backend": "dspy"})
    assert "pinned by an administrator" in answer.content.decode()
    answer = client.post(reverse("runner:router_pin", args=[row.pk]), {"backend": "both"})
    assert (answer.status_code, answer.content) == (
        422, b"'both' is no backend. Choose native, dspy, or none.",
    )  # fmt: skip
    client.post(reverse("runner:router_reset", args=[row.pk]))
    row.refresh_from_db()
    assert (row.pin, row.figures("native").calls) == ("dspy", 0)
    assert "pinned to dspy" in page(world)


@pytest.mark.parametrize(("name", "status"), [("owner", 403), ("superuser", 200)])
def test_only_an_administrator_turns_code_on(world: World, name: str, status: int) -> None:
    admin = world.person("viewer")
    admin.is_superuser = True
    admin.save()
    client = client_of(world, "viewer" if name == "superuser" else name)
    answer = client.post(reverse("runner:router_settings"), {"name": "run_code", "on": "true"})
    assert answer.status_code == status
    assert RunnerSettings.current().run_code is (status == 200)


def test_a_setting_that_is_none_is_refused(world: World) -> None:
    admin = world.person("owner")
    admin.is_superuser = True
    admin.save()
    answer = client_of(world).post(reverse("runner:router_settings"), {"name": "pk", "on": "true"})
    assert answer.status_code == 422


def agent_of(world: World, **config: Any) -> str:
    """The address of what the inspector shows of a dspy_module node."""
    config = {"module": "ReAct", "signature": "question -> answer", **config}
    pipeline = create_pipeline(
        project=world.project,
        user=world.person("owner"),
        name="Agent",
        graph=Graph.of([Node(id="agent", kind="dspy_module", config=config)], []),
    )
    react = ModuleInfo(
        name="ReAct",
        doc="Reasons and acts.",
        takes=("signature", "tools"),
        options={"properties": {"max_iters": {"type": "integer", "minimum": 1, "default": 20}}},
    )
    note_modules(ready=Ready(protocol=1, format="json", modules=(react,)))
    return reverse("runner:module_of_node", args=[pipeline.pk, "agent"])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, 'placeholder="20"'),
        ({"options": {"max_iters": 7}}, 'value="7"'),
        ({}, ">search</code>"),
        (
            {"options": {"max_iters": "x"}},
            "It is a value of type integer, not &#x27;x&#x27;.",
        ),
        (
            {"options": {"iters": 1}},
            "ReAct has no option &#x27;iters&#x27;. Empty it to remove it.",
        ),
        ({"module": "Unheard"}, 'data-field="options" data-widget="json"'),
        ({"module": "Unheard"}, "The installed DSPy has no such module. It has: ReAct."),
    ],
)
def test_the_inspector_says_what_a_module_takes(world: World, config: Any, said: str) -> None:
    address = agent_of(world, **config)
    assert said in client_of(world, "viewer").get(address).content.decode()
    assert client_of(world, "outsider").get(address).status_code == 404


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("max_iters", "5", 'data-value="5"'),
        ("max_iters", " ", "data-valid>"),
        ("max_iters", "5.5", "use a whole number"),
        ("max_iters", "0", "Not saved: it is at least 1, not 0."),
        ("iters", "5", "ReAct has no option &#x27;iters&#x27;"),
        ("iters", "", "data-valid>"),
    ],
)
def test_an_option_is_checked_while_it_is_typed(
    world: World, option: str, text: str, said: str
) -> None:
    address = agent_of(world) + "check/"
    typed = {"part": "options", "field": option, "value": text}
    assert said in client_of(world, "viewer").post(address, typed).text
    assert client_of(world, "outsider").post(address, typed).status_code == 404
    elsewhere = {**typed, "part": "policy"}
    assert client_of(world, "viewer").post(address, elsewhere).status_code == 404


def test_the_inspector_says_what_a_module_that_runs_code_lacks(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DSPEX_SANDBOX_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    address = agent_of(world, module="RLM")
    rlm = ModuleInfo(name="RLM", takes=("signature", "interpreter"), options={"properties": {}})
    note_modules(ready=Ready(protocol=1, format="json", modules=(rlm,)))

    def shown() -> str:
        return client_of(world, "viewer").get(address).content.decode()

    assert "which is off here" in shown()
    settings = RunnerSettings.current()
    settings.run_code = True
    settings.save()
    assert (
        "Deno 2, the sandbox&#x27;s runtime, is not installed. Run <code>make sandbox</code>"
        in shown()
    )


def test_the_modules_of_the_installed_dspy_are_shown(world: World) -> None:
    assert "No worker has started yet" in page(world, "viewer", "runner:dspy_modules")
    best = ModuleInfo(
        name="BestOfN",
        doc="Runs a module `N` times.",
        takes=("inner", "reward", "interpreter"),
        options={"properties": {"N": {"type": "integer"}}, "required": ["N"]},
    )
    note_modules(ready=Ready(protocol=1, format="json", versions={"dspy": "9.9"}, modules=(best,)))
    text = page(world, "viewer", "runner:dspy_modules")
    for said in (
        "BestOfN",
        "<code>N</code> times",
        "integer",
        "needed",
        "Runs code: off",
        "DSPy 9.9",
    ):
        assert said in text, said
