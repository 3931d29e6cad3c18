"""Who gets to see which page. A new address that has no policy here fails."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from pipelines import services
from tests.people import People, people, pipeline_of, profile_of

pytestmark = pytest.mark.django_db

SEEN = {"owner": 200, "editor": 200, "viewer": 200, "outsider": 404, "anonymous": 302}
CHANGED = {**SEEN, "viewer": 403}
OWNED = {**CHANGED, "editor": 403}
ANYBODY = {**SEEN, "outsider": 200}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """`answers` by person; 200 stands for whatever is no refusal."""

    answers: dict[str, int]
    of: str = ""
    post: bool = False


POLICIES = {
    "home": Policy(answers=ANYBODY),
    "gallery": Policy(answers=ANYBODY),
    "goto": Policy(answers=ANYBODY),
    "list": Policy(answers=ANYBODY),
    "new": Policy(answers=ANYBODY),
    "import": Policy(answers=ANYBODY),
    "editor": Policy(answers=SEEN, of="pipeline"),
    "copy": Policy(answers=SEEN, of="pipeline"),
    "rename": Policy(answers=CHANGED, of="pipeline"),
    "archive": Policy(answers=CHANGED, of="pipeline", post=True),
    "export": Policy(answers=SEEN, of="pipeline"),
    "graph": Policy(answers=SEEN, of="pipeline"),
    "operations": Policy(answers=SEEN, of="pipeline"),
    "operations (sent)": Policy(answers=CHANGED, of="pipeline", post=True),
    "copy_with": Policy(answers=SEEN, of="pipeline", post=True),
    "import_program": Policy(answers=CHANGED, of="pipeline"),
    "saved": Policy(answers=CHANGED, of="pipeline"),
    "saved_version": Policy(answers=CHANGED, of="saved"),
    "publish": Policy(answers=CHANGED, of="pipeline"),
    "history": Policy(answers=SEEN, of="pipeline"),
    "restore": Policy(answers=CHANGED, of="pipeline", post=True),
    "version": Policy(answers=SEEN, of="version"),
    "revision": Policy(answers=SEEN, of="revision"),
    "inspector": Policy(answers=SEEN, of="pipeline"),
    "node": Policy(answers=SEEN, of="node"),
    "check": Policy(answers=SEEN, of="node", post=True),
    "node_words": Policy(answers=SEEN, of="node"),
    "code_words": Policy(answers=ANYBODY),
    "signatures": Policy(answers=ANYBODY),
    "new_signature": Policy(answers=ANYBODY),
    "parse_signature": Policy(answers=ANYBODY, post=True),
    "signature": Policy(answers=SEEN, of="signature"),
    "new_signature_version": Policy(answers=CHANGED, of="signature", post=True),
    "collections": Policy(answers=ANYBODY),
    "new_collection": Policy(answers=ANYBODY),
    "collection": Policy(answers=SEEN, of="collection"),
    "document": Policy(answers=SEEN, of="document"),
    "upload": Policy(answers=CHANGED, of="collection", post=True),
    "lm_profiles": Policy(answers=ANYBODY),
    "new_lm_profile": Policy(answers=ANYBODY),
    "new_credential": Policy(answers=ANYBODY),
    "set_budget": Policy(answers=ANYBODY),
    "lm_profile": Policy(answers=SEEN, of="profile"),
    "lm_profile (saved)": Policy(answers=OWNED, of="profile", post=True),
}
POST_DATA = {"check": {"part": "config", "field": "signature", "value": "x -> y"}}
OUTSIDE = {"sign_in", "sign_out", "static"}
"""Open to strangers; each has tests of its own."""


def patterns(namespace: str = "") -> set[str]:
    found: set[str] = set()
    for entry in get_resolver().url_patterns:
        if isinstance(entry, URLResolver) and entry.namespace == namespace and namespace:
            found |= {str(each.name) for each in entry.url_patterns}
        if isinstance(entry, URLPattern) and not namespace:
            found.add(str(entry.name))
    return found


def test_every_address_has_a_policy() -> None:
    assert patterns("pipelines") == {name.partition(" ")[0] for name in POLICIES}
    assert patterns() == OUTSIDE


def arguments(who: People, of: str) -> list[Any]:
    if of in ("pipeline", "node"):
        pipeline = pipeline_of(who)
        return [pipeline.pk, "s0"] if of == "node" else [pipeline.pk]
    if of in ("version", "revision"):
        pipeline = pipeline_of(who)
        services.publish_version(pipeline=pipeline, user=who.owner)
        return [pipeline.pk, 1 if of == "version" else 0]
    if of == "saved":
        version = services.publish_version(pipeline=pipeline_of(who), user=who.owner)
        return [pipeline_of(who).pk, version.pk]
    if of == "signature":
        return [services.create_signature(project=who.project, user=who.owner, name="Ask").pk]
    if of in ("collection", "document"):
        made = services.create_collection(project=who.project, user=who.owner, name="Ours")
        found = [services.DocumentText(text="Hello")]
        services.replace_documents(collection=made, user=who.owner, documents=found)
        return [made.pk, 0] if of == "document" else [made.pk]
    return [profile_of(who).pk] if of == "profile" else []


@pytest.mark.parametrize("name", POLICIES)
def test_everybody_gets_the_answer_that_is_theirs(name: str) -> None:
    policy, who = POLICIES[name], people()
    plain = name.partition(" ")[0]
    address = reverse(f"pipelines:{plain}", args=arguments(who, policy.of))
    for person, expected in policy.answers.items():
        client = Client(headers={"host": "localhost"})
        if person != "anonymous":
            client.force_login(who.named(person))  # type: ignore[arg-type]
        send = client.post if policy.post else client.get
        response = send(address, POST_DATA.get(plain, {}))
        said = response.status_code
        if expected == 200:
            # A form without its fields is refused as such, and a page may lead on.
            assert said in (200, 204, 400, 422) or (said == 302 and plain == "home"), (person, said)
        else:
            assert said == expected, (person, said)


@pytest.mark.parametrize("name", [name for name, policy in POLICIES.items() if policy.post])
def test_a_change_is_never_made_by_get(name: str, client: Client) -> None:
    if " (" in name:
        return  # its page is got at the same address
    who = people()
    client.force_login(who.owner)
    address = reverse(f"pipelines:{name}", args=arguments(who, POLICIES[name].of))
    assert client.get(address, headers={"host": "localhost"}).status_code == 405


def test_a_change_needs_the_forms_token() -> None:
    who = people()
    client = Client(enforce_csrf_checks=True, headers={"host": "localhost"})
    client.force_login(who.owner)
    address = reverse("pipelines:archive", args=[pipeline_of(who).pk])
    assert client.post(address).status_code == 403
