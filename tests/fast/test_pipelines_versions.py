from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from pipelines import services
from pipelines.graph.signature import SignatureError
from pipelines.models import PipelineVersion, Reference, Signature
from pipelines.models.errors import InvalidInput, TooLarge, Unchangeable
from pipelines.services import NotPublishable
from tests.people import People, apply, people, pipeline_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def who() -> People:
    return people()


def ask(who: People, name: str = "Ask") -> Signature:
    return services.create_signature(project=who.project, user=who.owner, name=name)


def version(signature: Signature, who: People, text: str = "x -> y", **parts: Any) -> Any:
    return services.new_signature_version(signature=signature, user=who.editor, text=text, **parts)


def test_freezing_the_same_content_gives_the_same_version(who: People) -> None:
    pipeline = pipeline_of(who)
    first = services.freeze_version(pipeline=pipeline, user=who.editor)
    assert services.freeze_version(pipeline=pipeline, user=who.owner) == first
    assert (first.number, first.author) == (None, who.editor)


def test_a_version_is_the_pipeline_as_it_was(who: People) -> None:
    pipeline = pipeline_of(who)
    first = services.freeze_version(pipeline=pipeline, user=who.owner)
    apply(pipeline, who.owner, 0, op="rename", node="s0", label="Read")
    second = services.freeze_version(pipeline=pipeline, user=who.owner)
    assert first.graph.nodes["s0"].label == ""
    assert second.graph.nodes["s0"].label == "Read"


def test_an_earlier_revision_can_be_frozen(who: People) -> None:
    pipeline = pipeline_of(who)
    first = services.freeze_version(pipeline=pipeline, user=who.owner)
    apply(pipeline, who.editor, 0, op="remove_node", node="s0")
    assert services.freeze_version(pipeline=pipeline, user=who.owner, revision=0) == first
    with pytest.raises(InvalidInput, match="Revision 2"):
        services.freeze_version(pipeline=pipeline, user=who.owner, revision=2)


def test_publishing_numbers_the_draft_once(who: People) -> None:
    pipeline = pipeline_of(who)
    frozen = services.freeze_version(pipeline=pipeline, user=who.owner)
    first = services.publish_version(pipeline=pipeline, user=who.editor, note="Goes live")
    assert (first.pk, first.number, first.published_by) == (frozen.pk, 1, who.editor)
    again = services.publish_version(pipeline=pipeline, user=who.owner, note="Other")
    assert (again.number, again.note) == (1, "Goes live")
    apply(pipeline, who.owner, 0, op="rename", node="s0", label="Read")
    assert services.publish_version(pipeline=pipeline, user=who.owner).number == 2
    assert [found.number for found in pipeline.versions.published()] == [2, 1]


def test_a_pipeline_with_problems_is_not_published(who: People) -> None:
    pipeline = pipeline_of(who)
    apply(pipeline, who.owner, 0, op="set_config", node="s0", field="lm", value="nowhere")
    with pytest.raises(NotPublishable, match="LM profile 'nowhere'") as caught:
        services.publish_version(pipeline=pipeline, user=who.owner)
    assert [problem.node for problem in caught.value.problems] == ["s0"]
    assert not PipelineVersion.objects.exists()


def test_a_number_without_publishing_is_refused_by_the_database(who: People) -> None:
    frozen = services.freeze_version(pipeline=pipeline_of(who), user=who.owner)
    with pytest.raises(IntegrityError), transaction.atomic():
        PipelineVersion.objects.filter(pk=frozen.pk).update(number=1)


def test_signature_versions_count_up_and_equal_ones_are_one(who: People) -> None:
    signature = ask(who)
    first = version(signature, who)
    second = version(signature, who, "x -> y: int", note="A number now")
    assert (first.number, second.number, second.author) == (1, 2, who.editor)
    assert version(signature, who, "x->y") == first
    assert signature.latest == second


def test_a_signature_version_keeps_what_its_text_cannot_hold(who: People) -> None:
    parts: dict[str, Any] = {
        "instructions": "Be brief.",
        "descriptions": {"age": "In years"},
        "constraints": {"age": {"ge": 0}},
        "types": {"City": {"type": "object", "properties": {"name": {"type": "string"}}}},
    }
    made = version(ask(who), who, "name -> age: int, home: City", **parts)
    made.refresh_from_db()
    assert made.parsed().hash == made.hash
    assert made.parsed().outputs["age"].constraints == {"ge": 0}
    assert made.types == parts["types"]


@pytest.mark.parametrize(
    "text",
    ["", "question", "a -> a", "x: __import__('os') -> y", "x: os.system -> y", "x" * 20_001],
)
def test_a_bad_signature_is_refused_and_nothing_is_stored(who: People, text: str) -> None:
    signature = ask(who)
    with pytest.raises(SignatureError):
        version(signature, who, text)
    assert signature.latest is None


def test_a_signature_too_large_to_show_is_refused(who: People) -> None:
    with pytest.raises(TooLarge, match="1,000,000 is the limit"):
        version(ask(who), who, instructions="x" * 1_000_001)


def test_two_signatures_of_a_project_have_two_names(who: People) -> None:
    ask(who)
    with pytest.raises(ValidationError, match="exists"):
        ask(who)


def test_a_used_signature_version_stays(who: People) -> None:
    used, unused = version(ask(who), who), version(ask(who, "Other"), who, "a -> b")
    pipeline_of(who)
    with pytest.raises(Unchangeable, match="Pipelines use Ask, version 1"):
        used.delete()
    with pytest.raises(Unchangeable, match="kept as it was made"):
        used.save()
    unused.delete()


def test_one_sees_which_pipelines_use_a_signature(who: People) -> None:
    used = version(ask(who), who)
    pipeline = pipeline_of(who)
    pipeline_of(who, name="Other", graph=None)
    assert pipeline in used.used_by(who.viewer)
    assert used.signature.used_by(who.viewer).count() == 2
    assert not used.used_by(who.outsider).exists()


def test_a_version_keeps_using_what_the_draft_gave_up(who: People) -> None:
    used, pipeline = version(ask(who), who), pipeline_of(who)
    services.freeze_version(pipeline=pipeline, user=who.owner)
    for revision, node in enumerate(("s0", "s1", "s2")):
        apply(pipeline, who.owner, revision, op="remove_node", node=node)
    assert not pipeline.references.filter(version=None).exists()
    assert used.used_by(who.owner).get() == pipeline


def test_a_chain_of_thought_uses_the_signature_it_is_given(who: People) -> None:
    used, pipeline = version(ask(who), who, "why -> because"), pipeline_of(who)
    config = {"signature": "why -> because"}
    apply(pipeline, who.owner, 0, op="add_node", node="c", kind="chain_of_thought", config=config)
    assert Reference.objects.get(key=used.hash).node == "c"


def test_a_node_with_mistakes_uses_nothing(who: People) -> None:
    pipeline = pipeline_of(who)
    apply(pipeline, who.owner, 0, op="set_config", node="s0", field="signature", value="x ->->")
    assert not pipeline.references.filter(node="s0").exists()
