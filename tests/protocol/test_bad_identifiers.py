"""Another's things by every identifier, at every address there is and every method: a new address is covered
as soon as it exists. What is refused is refused in words, and nothing has changed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from django.apps import apps
from django.http import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from pipelines import services
from pipelines.graph.graph import Graph, Node
from runner.models import Run, Step
from tests.graphs import chain
from tests.people import SECRET, People, credential_of, people, pipeline_of, profile_of

pytestmark = pytest.mark.django_db

CANARY = "Canary-of-theirs"
METHODS = ("get", "head", "options", "post", "put", "patch", "delete")
VIEWERS_POST = {"copy", "copy_with", "check", "pipeline_figures", "search"}
"""What somebody who may look does by POST: nothing of it changes what is looked at."""
OPEN = {"sign_in", "sign_out", "static", "home", "metrics"}
"""Open to strangers, or leads on; each has tests of its own."""


@dataclass(frozen=True, kw_only=True)
class Address:
    name: str
    takes: tuple[str, ...]

    @property
    def names_a_thing(self) -> bool:
        return "UUIDConverter" in self.takes

    def filled(self, pk: Any) -> str:
        """With `pk` for every identifier."""
        values = {"UUIDConverter": pk, "IntConverter": 1, "SlugConverter": "s0"}
        return reverse(self.name, args=[values[each] for each in self.takes])


def addresses(patterns: Any = None, namespace: str = "") -> Iterator[Address]:
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(entry, URLResolver) and entry.namespace != "admin":
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from addresses(entry.url_patterns, inner)
        elif isinstance(entry, URLPattern) and entry.name not in OPEN:
            takes = [type(each).__name__ for each in entry.pattern.converters.values()]
            yield Address(name=f"{namespace}{entry.name}", takes=tuple(takes))


ADDRESSES = tuple(addresses())


def short(address: Address) -> str:
    return address.name.rpartition(":")[2]


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """A project in which there is one of everything, and the identifiers of it all."""

    who: People
    ids: dict[str, Any]

    def client(self, name: str) -> Client:
        client = Client(headers={"host": "localhost"}, raise_request_exception=True)
        client.force_login(getattr(self.who, name))
        return client


@pytest.fixture
def theirs() -> Theirs:
    who = people()
    who.project.name = CANARY
    who.project.save()
    owner = who.owner
    pipeline = pipeline_of(who, graph=chain(2), name=CANARY)
    version = services.freeze_version(pipeline=pipeline, user=owner)
    run = Run.objects.create(
        project=who.project, pipeline=pipeline, version=version, author=owner,
        inputs={"x": CANARY}, outputs={"y": CANARY}, status="failed", failure_message=CANARY,
    )  # fmt: skip
    Step.objects.create(run=run, path="s0", kind="predict", status="failed")
    signature = services.create_signature(project=who.project, user=owner, name=CANARY)
    text = services.new_signature_version(signature=signature, user=owner, text="x -> y")
    collection = services.create_collection(project=who.project, user=owner, name=CANARY)
    documents = [services.DocumentText(text=CANARY, title=CANARY)]
    services.replace_documents(collection=collection, user=owner, documents=documents)
    made = {
        **{"pipeline": pipeline, "run": run, "collection": collection, "signature": signature},
        **{"project": who.project, "version": version, "text": text},
        "profile": profile_of(who, name=CANARY),
        "credential": credential_of(who, name=CANARY),
    }
    return Theirs(who=who, ids={name: thing.pk for name, thing in made.items()})


def rows() -> dict[str, list[Any]]:
    """All that the database holds of pipelines and runs."""
    return {
        model.__name__: list(model._default_manager.order_by("pk").values_list())
        for app in ("pipelines", "runner")
        for model in apps.get_app_config(app).get_models()
    }


def nothing_is_lost(before: dict[str, list[Any]]) -> None:
    """Every row is there as it was; others may have joined them."""
    after = rows()
    for name, kept in before.items():
        assert [row for row in kept if row not in after[name]] == [], name


def sent(client: Client, method: str, url: str, how: str = "form", **data: Any) -> HttpResponseBase:
    if method in ("get", "head", "options"):
        answer: HttpResponseBase = getattr(client, method)(url)
    elif how == "json":
        answer = client.generic(method.upper(), url, json.dumps(data), "application/json")
    elif method == "post":
        answer = client.post(url, data)
    else:
        answer = client.generic(method.upper(), url, b"")
    return answer


def text_of(answer: Any) -> str:
    return str(answer.content.decode(errors="replace")) if hasattr(answer, "content") else ""


@pytest.mark.parametrize("address", [each for each in ADDRESSES if each.names_a_thing], ids=short)
def test_an_outsider_gets_nothing_by_any_identifier(address: Address, theirs: Theirs) -> None:
    client, before = theirs.client("outsider"), rows()
    asked = [*product(theirs.ids.values(), ("get", "post"))]
    asked += product([theirs.ids["pipeline"]], METHODS)
    for pk, method in asked:
        answer = sent(client, method, address.filled(pk))
        assert answer.status_code in (404, 405), (method, pk, answer.status_code)
        assert CANARY not in text_of(answer)
    assert rows() == before


@pytest.mark.parametrize("address", [each for each in ADDRESSES if not each.takes], ids=short)
def test_an_outsider_gets_nothing_by_naming_it_to_a_list(address: Address, theirs: Theirs) -> None:
    client = theirs.client("outsider")
    before = rows()
    keys = ("q", "pipeline", "run", "project", "collection", "signature", "credential", "version")
    for pk in theirs.ids.values():
        answer = client.get(reverse(address.name), dict.fromkeys(keys, str(pk)))
        assert CANARY not in text_of(answer)
        data = {**dict.fromkeys(keys, str(pk)), "name": "Mine", "text": "x -> y", "do": "repeat"}
        assert CANARY not in text_of(client.post(reverse(address.name), data))
    nothing_is_lost(before)


@pytest.mark.parametrize("address", ADDRESSES, ids=short)
def test_who_only_looks_changes_nothing(address: Address, theirs: Theirs) -> None:
    client, before = theirs.client("viewer"), rows()
    if not address.names_a_thing:
        data = {
            "project": str(theirs.who.project.pk),
            "name": "Mine",
            "run": str(theirs.ids["run"]),
        }
        for do in ("repeat", "cancel"):
            sent(client, "post", address.filled(0), **data, do=do)
    else:
        for pk, how in product(theirs.ids.values(), ("form", "json")):
            answer = sent(client, "post", address.filled(pk), how, name="Now", text="x -> z")
            if short(address) not in VIEWERS_POST:
                assert answer.status_code in (403, 404, 405), (pk, answer.status_code)
    nothing_is_lost(before)


@pytest.mark.parametrize("address", ADDRESSES, ids=short)
def test_strangers_are_sent_to_sign_in_whatever_they_ask(address: Address, theirs: Theirs) -> None:
    client = Client(headers={"host": "localhost"})
    for pk, method in product((theirs.ids["pipeline"], theirs.ids["run"]), METHODS):
        url = address.filled(pk)
        for asked in (url, f"{url}?next=/static/x.js", f"{url}?token=x"):
            answer = sent(client, method, asked)
            assert answer.status_code in (302, 405), (method, answer.status_code)
            assert answer.get("Location", "/sign-in/").startswith("/sign-in/")


@pytest.mark.parametrize(
    "trick",
    [
        *(
            "/static/..{url}",
            "/static/%2e%2e{url}",
            "//{url}",
            "/.{url}",
            "{url}%2f..",
            "{url};x=.js",
        ),
        *("{url}..;/", "/sign-in/..{url}", "{url}static/app.js", "{url}%00", "/admin/..{url}"),
    ],
)
def test_no_way_of_writing_an_address_leads_past_signing_in(trick: str, theirs: Theirs) -> None:
    client = Client(headers={"host": "localhost"})
    for url in (f"/pipelines/{theirs.ids['pipeline']}/", f"/runs/{theirs.ids['run']}/"):
        for headers in (
            {},
            {"X-HTTP-Method-Override": "GET"},
            {"X-Original-URL": "/static/app.css"},
        ):
            answer = client.get(trick.format(url=url), headers=headers)
            assert answer.status_code in (301, 302, 400, 404)
            assert CANARY not in text_of(answer)


def test_the_admin_is_shut_to_who_is_not_staff(theirs: Theirs) -> None:
    resolver = next(
        each for each in get_resolver().url_patterns if getattr(each, "namespace", "") == "admin"
    )
    urls = ["/admin/"]
    for model in apps.get_app_config("pipelines").get_models():
        name = f"admin:pipelines_{model._meta.model_name}"
        if f"pipelines_{model._meta.model_name}_changelist" not in resolver.reverse_dict:  # type: ignore[union-attr]
            continue
        urls += [reverse(f"{name}_changelist"), reverse(f"{name}_add")]
        for page in ("change", "delete", "history"):
            urls.append(
                reverse(f"{name}_{page}", args=[theirs.ids.get(model._meta.model_name or "", 1)])
            )
    assert len(urls) > 50
    before = rows()
    for person, method in product(("outsider", "owner"), ("get", "post")):
        client = theirs.client(person)
        for url in urls:
            answer = sent(client, method, url)
            assert answer.status_code == 302, url
            assert answer["Location"].startswith("/admin/login/")
    assert rows() == before


# What a graph of one's own names


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("predict", {"signature": "x -> y", "lm": CANARY}),
        ("search", {"collection": CANARY}),
    ],
)
def test_a_graph_of_ones_own_reaches_nothing_of_theirs(
    kind: str, config: dict[str, str], theirs: Theirs
) -> None:
    outsider = theirs.who.outsider
    mine = services.create_pipeline(
        project=services.personal_project(user=outsider),
        user=outsider,
        name="Mine",
        graph=Graph.of([Node(id="it", kind=kind, config=config)]),
    )
    client = theirs.client("outsider")
    page = client.get(reverse("pipelines:editor", args=[mine.pk]))
    assert any(CANARY in problem["message"] for problem in page.context["state"]["problems"])
    started = client.post(reverse("runner:start", args=[mine.pk]), {"input-x": "a"})
    assert started.status_code == 422
    assert not Run.objects.filter(pipeline=mine).exists()


def test_an_export_holds_no_secret(theirs: Theirs) -> None:
    answer = theirs.client("owner").get(reverse("pipelines:export", args=[theirs.ids["pipeline"]]))
    assert SECRET not in text_of(answer)
    assert answer["Content-Disposition"].startswith("attachment")
