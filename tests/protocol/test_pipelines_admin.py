from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from pipelines import services
from pipelines.models import (
    Collection,
    Credential,
    LMProfile,
    Membership,
    Pipeline,
    Project,
    Signature,
    SignatureVersion,
)
from runner.models import Run
from tests.people import (
    SECRET,
    People,
    apply,
    credential_of,
    host,
    people,
    pipeline_of,
    profile_of,
)

pytestmark = pytest.mark.django_db

MODELS = [
    *("project", "membership", "pipeline", "pipelineversion", "operationrecord", "signature"),
    *("signatureversion", "collection", "document", "approvedhost", "credential", "lmprofile"),
]


@pytest.fixture
def who() -> People:
    return people()


def signed_in(user: User) -> Client:
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    return client


def clerk(who: People) -> User:
    """Staff with every permission of Django's own, and no role in any project."""
    models = Permission.objects.filter(content_type__app_label="pipelines")
    who.staff.user_permissions.set(models)
    return who.staff


def url(model: str, page: str = "changelist", *arguments: Any) -> str:
    return reverse(f"admin:pipelines_{model}_{page}", args=arguments)


def fill(who: People) -> dict[str, Any]:
    pipeline = pipeline_of(who)
    apply(pipeline, who.owner, 0, op="rename", node="s0", label="Read")
    signature = services.create_signature(project=who.project, user=who.owner, name="Ask")
    collection = services.create_collection(project=who.project, user=who.owner, name="faq")
    found = [services.DocumentText(text="Hello")]
    services.replace_documents(collection=collection, user=who.owner, documents=found)
    return {
        "project": who.project,
        "membership": who.project.memberships.first(),
        "pipeline": pipeline,
        "pipelineversion": services.freeze_version(pipeline=pipeline, user=who.owner),
        "operationrecord": pipeline.operations.get(),
        "signature": signature,
        "signatureversion": services.new_signature_version(
            signature=signature, user=who.owner, text="x -> y"
        ),
        "collection": collection,
        "document": collection.documents.get(),
        "approvedhost": host(),
        "credential": credential_of(who),
        "lmprofile": profile_of(who),
    }


def test_every_list_and_page_opens_and_can_be_searched(who: People) -> None:
    client, things = signed_in(who.superuser), fill(who)
    assert things.keys() == set(MODELS)
    for model, thing in things.items():
        for page in (url(model) + "?q=a", url(model, "change", thing.pk)):
            answer = client.get(page)
            assert answer.status_code == 200, page
            assert SECRET not in answer.text


def test_staff_see_nothing_of_projects_they_are_not_in(who: People) -> None:
    client, things = signed_in(clerk(who)), fill(who)
    for model, thing in things.items():
        if model == "approvedhost":
            continue
        assert client.get(url(model, "change", thing.pk)).status_code == 302, model
    assert "0 credentials" in client.get(url("credential")).text


def test_lists_cost_the_same_for_any_number_of_rows(
    who: People, django_assert_max_num_queries: Any
) -> None:
    client = signed_in(who.superuser)
    for number in range(4):
        fill_one(who, number)
    for model in ("pipeline", "signature", "collection", "lmprofile"):
        with django_assert_max_num_queries(9):
            client.get(url(model))


def fill_one(who: People, number: int) -> None:
    pipeline_of(who, name=f"P{number}")
    signature = services.create_signature(project=who.project, user=who.owner, name=f"S{number}")
    services.new_signature_version(signature=signature, user=who.owner, text="x -> y")
    profile_of(who, name=f"L{number}")
    Collection.objects.create(project=who.project, name=f"C{number}")


@pytest.mark.parametrize("model", ["pipelineversion", "operationrecord", "document"])
def test_history_is_read_only_even_for_superusers(who: People, model: str) -> None:
    client, thing = signed_in(who.superuser), fill(who)[model]
    assert client.get(url(model, "add")).status_code == 403
    assert client.post(url(model, "delete", thing.pk), {"post": "yes"}).status_code == 403
    assert 'name="_save"' not in client.get(url(model, "change", thing.pk)).text


def test_an_administrator_adds_a_signature_and_a_new_version(who: People) -> None:
    client = signed_in(clerk(who))
    client.post(url("signature", "add"), {"name": "Classify", "description": ""})
    signature = Signature.objects.get()
    form = {"signature": signature.pk, "text": "mail -> label", "instructions": "", "note": ""}
    form |= dict.fromkeys(("descriptions", "constraints", "types"), "{}")
    client.post(url("signatureversion", "add"), form)
    client.post(url("signatureversion", "add"), {**form, "text": "mail -> label: bool"})
    assert [version.number for version in signature.versions.all()] == [2, 1]
    assert str(SignatureVersion.objects.first()) in LogEntry.objects.first().object_repr


def test_a_bad_signature_is_explained_at_its_field(who: People) -> None:
    signature = Signature.objects.create(name="Classify")
    form = {"signature": signature.pk, "text": "mail -> <script>", "descriptions": "{}"}
    answer = signed_in(who.superuser).post(url("signatureversion", "add"), form)
    assert "at character 9" in answer.text
    assert "<script>" not in answer.text.partition("<main")[2].replace("<script src", "")
    assert not SignatureVersion.objects.exists()


def test_the_page_of_a_signature_says_which_pipelines_use_it(who: People) -> None:
    things = fill(who)
    page = signed_in(who.superuser).get(url("signature", "change", things["signature"].pk))
    assert "Answer mail" in page.text


def test_a_used_signature_version_cannot_be_deleted(who: People) -> None:
    version = fill(who)["signatureversion"]
    client = signed_in(who.superuser)
    for page in (
        url("signatureversion", "delete", version.pk),
        url("signature", "delete", version.signature.pk),
    ):
        assert client.post(page, {"post": "yes"}).status_code == 403
    assert SignatureVersion.objects.filter(pk=version.pk).exists()


def test_a_key_goes_in_and_never_comes_out(who: People) -> None:
    client = signed_in(who.superuser)
    form = {"project": who.project.pk, "name": "Provider", "host": host().pk, "secret": SECRET}
    client.post(url("credential", "add"), form)
    credential = Credential.objects.get()
    assert credential.reveal("https://api.example.com") == SECRET
    pages = [url("credential"), url("credential", "change", credential.pk)]
    pages += [url("credential", "history", credential.pk)]
    for page in pages:
        assert SECRET not in client.get(page).text
    refused = client.post(url("credential", "add"), {**form, "secret": "sk " + SECRET, "name": "2"})
    assert SECRET not in refused.text
    assert not LogEntry.objects.filter(change_message__contains=SECRET).exists()


def test_a_key_is_replaced_on_its_page(who: People) -> None:
    credential = credential_of(who)
    page = url("credential", "change", credential.pk)
    signed_in(who.superuser).post(page, {"secret": "sk-replaced-0123456789"})
    credential.refresh_from_db()
    assert credential.reveal("https://api.example.com") == "sk-replaced-0123456789"


def test_pipelines_are_archived_by_those_who_may_edit_them(who: People) -> None:
    pipeline, form = pipeline_of(who), {"action": "archive"}
    form["_selected_action"] = str(pipeline.pk)
    Membership.objects.create(project=who.project, user=clerk(who), role="viewer")
    answer = signed_in(who.staff).post(url("pipeline"), form, follow=True)
    assert "You may not edit Answer mail" in answer.text
    assert Pipeline.objects.active().exists()
    signed_in(who.superuser).post(url("pipeline"), form)
    assert not Pipeline.objects.active().exists()


def test_deleting_a_project_takes_its_history_along(who: People) -> None:
    fill(who)
    client, page = signed_in(who.superuser), url("project", "delete", who.project.pk)
    assert "Are you sure" in client.get(page).text
    client.post(page, {"post": "yes"})
    assert not Project.objects.exists()


def test_the_last_owner_is_kept_and_the_page_says_why(who: People) -> None:
    membership = Membership.objects.get(user=who.owner)
    page = url("membership", "change", membership.pk)
    answer = signed_in(who.superuser).post(page, {"role": "viewer"}, follow=True)
    assert "would have no owner" in answer.text
    membership.refresh_from_db()
    assert membership.role == "owner"


def test_a_thing_cannot_be_given_to_a_project_one_may_not_manage(who: People) -> None:
    clerk(who)
    form = {"name": "faq", "description": "", "project": who.project.pk}
    answer = signed_in(who.staff).post(url("collection", "add"), form)
    assert "valid choice" in answer.text
    Membership.objects.create(project=who.project, user=who.staff, role="viewer")
    assert signed_in(who.staff).post(url("collection", "add"), form).status_code == 403
    assert not Collection.objects.exists()


def test_a_change_of_an_lm_profile_raises_its_revision(who: People) -> None:
    profile = profile_of(who)
    form = {"project": who.project.pk, "name": "fast", "adapter": "scripted", "format": "chat"}
    form |= {"concurrency": 4, "timeout": 10, "retries": 1, "input_price": 0, "output_price": 0}
    form |= {"connect_timeout": 5}
    page = url("lmprofile", "change", profile.pk)
    answer = signed_in(who.superuser).post(page, {**form, "settings": '{"api_key": "sk"}'})
    assert "keys are stored as credentials" in answer.text
    signed_in(who.superuser).post(page, {**form, "settings": "{}"})
    assert LMProfile.objects.values_list("revision", "concurrency").get() == (2, 4)


def test_a_signature_is_added_with_its_first_version(who: People) -> None:
    client = signed_in(who.superuser)
    page = client.get(url("signature", "add"))
    assert reverse("pipelines:parse_signature") in page.text
    form = {"name": "Triage", "text": "mail -> topic", "instructions": "", "description": ""}
    form |= dict.fromkeys(("descriptions", "constraints", "types"), "{}")
    refused = client.post(url("signature", "add"), {**form, "text": "mail -> topic: flaot"})
    assert "flaot" in refused.text
    assert not Signature.objects.exists()
    client.post(url("signature", "add"), form)
    assert Signature.objects.get().latest.text == "mail -> topic"  # type: ignore[union-attr]


def test_the_next_version_begins_as_the_latest_is(who: People) -> None:
    signature = fill(who)["signature"]
    page = signed_in(who.superuser).get(url("signatureversion", "add"), {"signature": signature.pk})
    assert "x -&gt; y" in page.text
    own = signed_in(who.superuser).get(url("signature", "change", signature.pk))
    assert f"{url('signatureversion', 'add')}?signature={signature.pk}" in own.text


def test_the_admin_has_our_name_and_the_registry_first(who: People) -> None:
    page = signed_in(who.superuser).get(reverse("admin:index")).text
    assert "Django administration" not in page
    assert page.index("Signature registry") < page.index("Projects and people")


def test_there_is_one_place_to_sign_in(who: People) -> None:
    client = Client(headers={"host": "localhost"})
    assert client.get(reverse("admin:login"))["Location"].startswith("/sign-in/")
    assert signed_in(who.viewer).get(reverse("admin:login")).status_code == 403


def test_a_project_with_runs_is_counted_and_deleted(who: People) -> None:
    things = fill(who)
    Run.objects.create(
        project=who.project, pipeline=things["pipeline"], version=things["pipelineversion"]
    )
    client, page = signed_in(who.superuser), url("project", "delete", who.project.pk)
    shown = client.get(page).text
    assert "1 runs" in shown
    assert "1 pipelines" in shown
    client.post(page, {"post": "yes"})
    assert not Project.objects.exists()
    assert not Run.objects.exists()
