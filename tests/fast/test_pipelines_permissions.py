"""Who may do what to what: the whole table, and that lists, look-ups and services keep to it."""

import uuid
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils import timezone

from pipelines import services
from pipelines.models import (
    ApprovedHost,
    Collection,
    Credential,
    LMProfile,
    Membership,
    OperationRecord,
    Pipeline,
    PipelineVersion,
    Project,
    Reference,
    Role,
    Signature,
    SignatureVersion,
)
from pipelines.permissions import (
    ALLOWED_TO,
    EVERYBODY,
    STAFF,
    Action,
    allowed,
    can,
    get_or_404,
)
from pipelines.services import DocumentText
from runner.bridge.tools import REGISTERED, HostTool
from runner.models import RouterSubject
from runner.services import allow_tool, prune_as, reset_figures
from tests.people import People, apply, credential_of, host, people, pipeline_of, profile_of

pytestmark = pytest.mark.django_db

NOBODY: frozenset[Action] = frozenset()
EVERYTHING = frozenset(Action)
IN_PROJECT = {
    "owner": ALLOWED_TO[Role.OWNER],
    "editor": ALLOWED_TO[Role.EDITOR],
    "viewer": ALLOWED_TO[Role.VIEWER],
    "outsider": NOBODY,
    "staff": NOBODY,
    "superuser": EVERYTHING,
    "anonymous": NOBODY,
}
SHARED = {
    **dict.fromkeys(("owner", "editor", "viewer", "outsider"), EVERYBODY),
    "staff": STAFF,
    "superuser": EVERYTHING,
    "anonymous": NOBODY,
}
UNSEEN = {
    name: allowed if Action.MANAGE_CREDENTIALS in allowed else allowed - {Action.VIEW}
    for name, allowed in IN_PROJECT.items()
}
SHARED_UNSEEN = {
    name: allowed if name == "superuser" else allowed - {Action.VIEW}
    for name, allowed in SHARED.items()
}


def things(who: People) -> dict[str, Any]:
    """One of everything, in the project and shared."""
    pipeline = pipeline_of(who)
    apply(pipeline, who.owner, 0, op="set_config", node="s0", field="lm", value="fast")
    parts: dict[str, Any] = {"project": who.project, "user": who.owner}
    signature = services.create_signature(name="Ask", **parts)
    collection = services.create_collection(name="faq", **parts)
    services.replace_documents(
        collection=collection, user=who.owner, documents=[DocumentText(text="Hello")]
    )
    return {
        "project": who.project,
        "membership": who.project.memberships.first(),
        "pipeline": pipeline,
        "operation": pipeline.operations.get(),
        "version": services.freeze_version(pipeline=pipeline, user=who.owner),
        "signature": signature,
        "signature version": services.new_signature_version(
            signature=signature, user=who.owner, text="x -> y"
        ),
        "collection": collection,
        "document": collection.documents.get(),
        "profile": profile_of(who),
        "credential": credential_of(who),
        "shared signature": Signature.objects.create(name="Ask"),
        "shared collection": Collection.objects.create(name="docs"),
        "shared profile": profile_of(who, project=None, name="everybody's"),
        "shared credential": Credential.objects.create(name="all", host=host(), encrypted=b"x"),
        "host": host(),
    }


def table(name: str) -> dict[str, frozenset[Action]]:
    if name == "credential":
        return UNSEEN
    if name == "shared credential":
        return SHARED_UNSEEN
    return SHARED if name.startswith("shared") or name == "host" else IN_PROJECT


def test_everybody_may_do_what_the_table_says_and_nothing_else() -> None:
    who = people()
    wrong = [
        (person, name, expected ^ found)
        for name, thing in things(who).items()
        for person, expected in table(name).items()
        if (found := allowed(who.named(person), thing)) != expected
    ]
    assert not wrong


def test_one_action_is_asked_for_by_name() -> None:
    who = people()
    assert [can(who.editor, action, who.project) for action in (Action.EDIT, Action.VIEW)] == [1, 1]
    assert not can(who.editor, Action.MANAGE_MEMBERS, who.project)


def test_lists_show_exactly_what_may_be_viewed() -> None:
    who = people()
    wrong = [
        (person, name)
        for name, thing in things(who).items()
        for person in IN_PROJECT
        if type(thing).objects.visible_to(who.named(person)).filter(pk=thing.pk).exists()
        != can(who.named(person), Action.VIEW, thing)
    ]
    assert not wrong


def test_the_installation_itself_is_changed_by_staff_and_superusers() -> None:
    who = people()
    assert can(who.staff, Action.MANAGE_SIGNATURES, None)
    assert not can(who.owner, Action.MANAGE_SIGNATURES, None)
    assert not can(who.staff, Action.APPROVE_HOSTS, None)
    assert can(who.superuser, Action.APPROVE_HOSTS, None)


def test_a_closed_account_may_do_nothing() -> None:
    who = people()
    for user in (who.owner, who.superuser):
        user.is_active = False
        assert not can(user, Action.VIEW, who.project)
        assert not Project.objects.visible_to(user).exists()
        assert not Credential.objects.visible_to(user).exists()


def test_roles_only_add_up() -> None:
    assert ALLOWED_TO[Role.VIEWER] < ALLOWED_TO[Role.EDITOR] < ALLOWED_TO[Role.OWNER]
    assert set(ALLOWED_TO) == set(Role)


@pytest.mark.parametrize("name", ["outsider", "staff", "anonymous"])
def test_what_one_may_not_see_is_not_there(name: str) -> None:
    who = people()
    pipeline = pipeline_of(who)
    for lookup in ({"pk": pipeline.pk}, {"slug": pipeline.slug}, {"pk": str(pipeline.pk)}):
        with pytest.raises(Http404):
            get_or_404(who.named(name), Action.VIEW, Pipeline, **lookup)


def test_what_one_may_see_but_not_change_is_forbidden() -> None:
    who = people()
    pipeline = pipeline_of(who)
    assert get_or_404(who.viewer, Action.VIEW, Pipeline, pk=pipeline.pk) == pipeline
    with pytest.raises(PermissionDenied):
        get_or_404(who.viewer, Action.EDIT, Pipeline, pk=pipeline.pk)


@pytest.mark.parametrize("bad", ["", "1", "../etc", "' or 1=1", None, uuid.UUID(int=1), 10**30])
def test_an_id_that_is_none_is_not_there(bad: Any) -> None:
    who = people()
    with pytest.raises(Http404):
        get_or_404(who.owner, Action.VIEW, Pipeline, pk=bad)


def test_a_queryset_is_narrowed_further() -> None:
    who = people()
    pipeline = pipeline_of(who)
    active = Pipeline.objects.active()
    assert get_or_404(who.owner, Action.RUN, active, pk=pipeline.pk) == pipeline
    services.archive_pipeline(pipeline=pipeline, user=who.owner)
    with pytest.raises(Http404):
        get_or_404(who.owner, Action.RUN, Pipeline.objects.active(), pk=pipeline.pk)


def test_a_name_in_a_graph_never_leads_into_another_project() -> None:
    who = people()
    theirs = services.personal_project(user=who.outsider)
    services.create_collection(project=theirs, user=who.outsider, name="secrets")
    profile_of(who, project=theirs, name="paid for by others")
    pipeline = pipeline_of(who)
    add = {"op": "add_node", "node": "find", "kind": "search", "config": {"collection": "secrets"}}
    apply(pipeline, who.owner, 0, **add)
    apply(
        pipeline, who.owner, 1, op="set_config", node="s0", field="lm", value="paid for by others"
    )
    resolved = services.resolve_references(
        project=who.project, graph=services.graph_at(pipeline=pipeline), user=who.superuser
    )
    assert {problem.code for problem in resolved.problems} == {
        "unknown_collection",
        "unknown_lm_profile",
    }
    assert not resolved.collections and not resolved.profiles


def test_names_mean_the_projects_own_before_what_everybody_has() -> None:
    who = people()
    profile_of(who, project=None, model="everybody's")
    profile_of(who, model="ours")
    shared = Collection.objects.create(name="handbook")
    pipeline = pipeline_of(who)
    resolved = services.resolve_references(
        project=who.project, graph=services.graph_at(pipeline=pipeline), user=who.editor
    )
    assert resolved.profiles["fast"].model == "ours"
    assert resolved.collections == {"handbook": shared}


def test_a_viewer_cannot_have_calls_made_on_the_projects_account() -> None:
    who = people()
    profile = profile_of(who)
    pipeline = pipeline_of(who)
    apply(pipeline, who.owner, 0, op="set_config", node="s0", field="lm", value=profile.name)
    graph = services.graph_at(pipeline=pipeline)
    parts: dict[str, Any] = {"project": who.project, "graph": graph}
    assert services.resolve_references(user=who.viewer, **parts).problems
    assert not services.resolve_references(user=who.editor, **parts).problems


def test_resolving_costs_the_same_for_any_number_of_names(django_assert_num_queries: Any) -> None:
    who = people()
    for number in range(4):
        profile_of(who, name=f"p{number}")
        Collection.objects.create(project=who.project, name=f"c{number}")
    graph = services.graph_at(pipeline=pipeline_of(who))
    with django_assert_num_queries(4):
        services.resolve_references(project=who.project, graph=graph, user=who.editor)


TOOL = REGISTERED.setdefault("zero", HostTool.of(lambda: 0, name="zero"))


def calls(who: People, user: Any) -> dict[Action, Any]:
    """A service for each action, on things of the project."""
    pipeline, profile = pipeline_of(who), profile_of(who)
    parts: dict[str, Any] = {"project": who.project, "user": user}
    return {
        Action.VIEW: lambda: services.problems_of(pipeline=pipeline, user=user),
        Action.EDIT: lambda: services.create_pipeline(**parts),
        Action.RUN: lambda: services.freeze_version(pipeline=pipeline, user=user),
        Action.PUBLISH: lambda: services.publish_version(pipeline=pipeline, user=user),
        Action.MANAGE_COLLECTIONS: lambda: services.create_collection(name="c", **parts),
        Action.MANAGE_SIGNATURES: lambda: services.create_signature(name="s", **parts),
        Action.USE_CREDENTIAL: lambda: services.key_for_calls(profile=profile, user=user),
        Action.MANAGE_CREDENTIALS: lambda: services.store_credential(
            name="c", host=host(), secret="0123456789abcdef", **parts
        ),
        Action.MANAGE_LM_PROFILES: lambda: services.save_lm_profile(
            profile=LMProfile.objects.get(pk=profile.pk), user=user
        ),
        Action.MANAGE_MEMBERS: lambda: services.set_role(
            member=who.viewer, role=Role.VIEWER, **parts
        ),
        Action.APPROVE_HOSTS: lambda: services.approve_host(user=user, origin="https://b.example"),
        Action.MANAGE_ROUTER: lambda: reset_figures(
            subject=RouterSubject.objects.create(
                project=who.project, kind="predict", updated_at=timezone.now()
            ),
            user=user,
        ),
        Action.ADMINISTER: lambda: prune_as(
            user=user, now=timezone.now(), keep_runs=None, project=None
        ),
        Action.ALLOW_TOOLS: lambda: allow_tool(pipeline=pipeline, user=user, name=TOOL.name),
        Action.MANAGE_PROJECT: lambda: services.delete_project(**parts),
    }


@pytest.mark.parametrize("name", IN_PROJECT)
def test_services_ask_for_themselves(name: str) -> None:
    who = people()
    doing = calls(who, who.named(name))
    assert doing.keys() == EVERYTHING
    done = set()
    for action, call in doing.items():
        try:
            call()
            done.add(action)
        except PermissionDenied:
            pass
    assert done == IN_PROJECT[name]


def test_every_model_can_be_asked_about() -> None:
    for model in (ApprovedHost, Membership, OperationRecord, PipelineVersion, Reference):
        assert hasattr(model.objects.all(), "visible_to")
    for owned in (ApprovedHost, Membership, OperationRecord, PipelineVersion, SignatureVersion):
        assert hasattr(owned, "owning_project_id")
