import uuid
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, transaction
from django.db.models import Model, ProtectedError

from pipelines import services
from pipelines.graph import codec
from pipelines.models import (
    Document,
    Membership,
    OperationRecord,
    Pipeline,
    PipelineVersion,
    Project,
    Reference,
    Role,
    Signature,
)
from pipelines.models.errors import InvalidInput, TooLarge, Unchangeable
from pipelines.models.public_id import uuid7
from pipelines.permissions import NotAllowed
from pipelines.services import DocumentText
from tests.graphs import chain
from tests.people import apply, credential_of, people, pipeline_of, profile_of

pytestmark = pytest.mark.django_db


def full_project() -> Any:
    """A project with something in every table."""
    who = people()
    pipeline = pipeline_of(who)
    apply(pipeline, who.owner, 0, op="set_config", node="s0", field="lm", value="fast")
    credential = credential_of(who)
    profile_of(
        who,
        adapter="openai_compatible",
        base_url="https://api.example.com/v1",
        credential=credential,
    )
    services.freeze_version(pipeline=pipeline, user=who.owner)
    signature = services.create_signature(project=who.project, user=who.owner, name="Ask")
    services.new_signature_version(signature=signature, user=who.owner, text="x -> y")
    collection = services.create_collection(project=who.project, user=who.owner, name="faq")
    documents = [DocumentText(text="Refunds take a week.")]
    services.replace_documents(collection=collection, user=who.owner, documents=documents)
    services.set_budget(project=who.project, user=who.owner, period="day", tokens=9, cost=None)
    return who


def rows() -> dict[str, int]:
    models: list[type[Model]] = list(apps.get_app_config("pipelines").get_models())
    return {model.__name__: model._default_manager.count() for model in models}


def test_a_uuid7_says_its_version_and_sorts_by_time() -> None:
    first, second = uuid7(), uuid7()
    assert first.version == 7
    assert first.variant == uuid.RFC_4122
    assert first.int >> 80 <= second.int >> 80


def test_a_deleted_project_leaves_nothing_behind() -> None:
    who = full_project()
    assert all(rows().values())
    services.delete_project(project=who.project, user=who.owner)
    assert {name for name, count in rows().items() if count} == {"ApprovedHost"}


def test_only_an_owner_deletes_a_project() -> None:
    who = people()
    with pytest.raises(NotAllowed):
        services.delete_project(project=who.project, user=who.editor)
    assert Project.objects.filter(pk=who.project.pk).exists()


def test_history_is_neither_changed_nor_deleted() -> None:
    who = full_project()
    for row in (OperationRecord.objects.get(), PipelineVersion.objects.get()):
        with pytest.raises(Unchangeable, match="kept as it was made"):
            row.save()
        with pytest.raises(Unchangeable, match="part of a history"):
            row.delete()
    assert who.project.pipelines.get().versions.count() == 1


def test_a_person_with_work_of_their_own_is_not_deleted_by_the_way() -> None:
    who = people()
    services.personal_project(user=who.outsider)
    with pytest.raises(ProtectedError):
        who.outsider.delete()


def test_the_personal_project_is_made_once() -> None:
    who = people()
    project = services.personal_project(user=who.outsider)
    assert services.personal_project(user=who.outsider) == project
    assert project.memberships.get().role == Role.OWNER


def test_a_project_keeps_an_owner() -> None:
    who = people()
    for change in (
        lambda: services.remove_member(project=who.project, user=who.owner, member=who.owner),
        lambda: services.set_role(
            project=who.project, user=who.owner, member=who.owner, role=Role.VIEWER
        ),
    ):
        with pytest.raises(InvalidInput, match="no owner"):
            change()


def test_an_owner_can_hand_a_project_over() -> None:
    who = people()
    services.set_role(project=who.project, user=who.owner, member=who.editor, role=Role.OWNER)
    services.remove_member(project=who.project, user=who.editor, member=who.owner)
    assert not Project.objects.visible_to(who.owner).exists()


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        (Pipeline, {"name": "", "slug": "empty"}),
        (Pipeline, {"name": "Again", "slug": "answer-mail"}),
        (Signature, {"name": ""}),
        (Membership, {"role": "king", "user_id": 0}),
    ],
)
def test_the_database_refuses_what_the_services_would(model: Any, parts: dict[str, Any]) -> None:
    who = people()
    pipeline_of(who)
    parts = {**parts, "user_id": who.outsider.pk} if "user_id" in parts else parts
    with pytest.raises(IntegrityError), transaction.atomic():
        model.objects.create(project=who.project, **parts)


def test_two_signatures_of_no_project_have_two_names() -> None:
    Signature.objects.create(name="Ask")
    with pytest.raises(IntegrityError), transaction.atomic():
        Signature.objects.create(name="Ask")


def test_pipelines_of_one_name_get_addresses_of_their_own() -> None:
    who = people()
    first, second = pipeline_of(who), pipeline_of(who)
    assert first.slug == "answer-mail"
    assert second.slug.startswith("answer-mail-")


def test_a_name_without_letters_still_gets_an_address() -> None:
    assert pipeline_of(people(), name="日本").slug == "pipeline"


def test_a_copy_has_the_draft_and_no_history() -> None:
    who = people()
    pipeline = pipeline_of(who)
    apply(pipeline, who.owner, 0, op="rename", node="s0", label="Read")
    copy = services.copy_pipeline(pipeline=pipeline, user=who.editor)
    assert copy.name == "Answer mail (copy)"
    assert copy.draft.graph.nodes["s0"].label == "Read"
    assert copy.draft.revision == copy.operations.count() == 0


def test_a_copy_into_a_project_of_others_is_refused() -> None:
    who = people()
    theirs = services.personal_project(user=who.outsider)
    with pytest.raises(NotAllowed):
        services.copy_pipeline(pipeline=pipeline_of(who), user=who.owner, project=theirs)


def test_an_imported_file_comes_out_as_it_went_in() -> None:
    who = people()
    text = codec.dump(chain())
    pipeline = services.import_pipeline(
        project=who.project, user=who.editor, text=text.encode(), name="Chain"
    )
    assert pipeline.draft.graph.nodes.keys() == chain().nodes.keys()
    assert pipeline.name == "Chain"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (b"\xff\xfe", InvalidInput, "UTF-8"),
        ("[1]", ValueError, "pipeline file"),
        ('{"format": 1, "nodes": {}, "owner": 1}', ValueError, "owner"),
        ('{"format": 1, "nodes": {}, "name": "\\ud800"}', ValueError, "surrogate|Unicode|unicode"),
        ('{"format": 1, "nodes": {}, "name": "a\\u0000b"}', InvalidInput, "NUL"),
        ("[" * 100_000, ValueError, "nested"),
    ],
)
def test_a_bad_file_is_refused_and_nothing_is_made(text: Any, error: Any, message: str) -> None:
    who = people()
    with pytest.raises((error, InvalidInput), match=message):
        services.import_pipeline(project=who.project, user=who.owner, text=text)
    assert not Pipeline.objects.exists()


def test_a_file_with_too_many_nodes_is_refused_with_the_limit() -> None:
    who = people()
    nodes = ",".join(f'"n{i}": {{"kind": "x"}}' for i in range(5_001))
    with pytest.raises(TooLarge, match=r"5,001 nodes; 5,000 is the limit\. Move"):
        services.import_pipeline(
            project=who.project, user=who.owner, text=f'{{"format": 1, "nodes": {{{nodes}}}}}'
        )


def test_an_archived_pipeline_is_out_of_the_way_but_there() -> None:
    who = people()
    pipeline = pipeline_of(who)
    services.archive_pipeline(pipeline=pipeline, user=who.editor)
    assert not Pipeline.objects.visible_to(who.owner).active().exists()
    assert apply(pipeline, who.owner, 0, op="rename", node="s0", label="x").code == "archived"


def test_a_list_of_pipelines_costs_the_same_for_any_number(
    django_assert_num_queries: Any,
) -> None:
    who = people()
    for number in range(5):
        pipeline_of(who, name=f"Pipeline {number}")
    with django_assert_num_queries(1):
        found = Pipeline.objects.visible_to(who.viewer).select_related("project")
        assert [pipeline.project.name for pipeline in found] == ["Support desk"] * 5


def test_the_list_of_a_project_is_read_in_order_of_an_index() -> None:
    who = people()
    found = Pipeline.objects.filter(project=who.project, archived=False).order_by("-updated_at")
    plan = found.values("pk").explain()
    assert "index" in plan.lower()
    assert "TEMP B-TREE" not in plan and "Sort" not in plan  # as SQLite and PostgreSQL say it


def test_what_a_draft_names_is_kept_in_step() -> None:
    who = people()
    pipeline = pipeline_of(who, graph=chain(1))
    naming = Reference.objects.filter(pipeline=pipeline, kind="lm_profile")
    apply(pipeline, who.owner, 0, op="set_config", node="s0", field="lm", value="fast")
    assert naming.get().key == "fast"
    apply(pipeline, who.owner, 1, op="set_config", node="s0", field="lm", value="slow")
    assert naming.get().key == "slow"
    apply(pipeline, who.owner, 2, op="remove_node", node="s0")
    assert not naming.exists()


def test_documents_are_deleted_with_their_collection() -> None:
    who = full_project()
    who.project.collections.get().delete()
    assert not Document.objects.exists()
