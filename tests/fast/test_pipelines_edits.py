import uuid
from dataclasses import asdict
from typing import Any

import pytest

from pipelines import services
from pipelines.graph import codec
from pipelines.models import Draft, Membership, OperationRecord, Pipeline
from pipelines.models.errors import Busy
from pipelines.permissions import NotAllowed
from pipelines.services import Applied, Refused, edits, operation_applied
from tests.people import People, apply, people, pipeline_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def who() -> People:
    return people()


@pytest.fixture
def pipeline(who: People) -> Pipeline:
    return pipeline_of(who)


def draft(pipeline: Pipeline) -> Draft:
    return Draft.objects.get(pipeline=pipeline)


def label(pipeline: Pipeline, node: str = "s0") -> str:
    return draft(pipeline).graph.nodes[node].label


def undone(pipeline: Pipeline, user: Any, answer: Applied) -> Any:
    return services.undo(
        pipeline=pipeline, user=user, operation_id=uuid.uuid4(), undoes=answer.operation_id
    )


def test_an_operation_raises_the_revision_and_is_logged(who: People, pipeline: Pipeline) -> None:
    answer = apply(pipeline, who.editor, 0, op="rename", node="s0", label="Read")
    assert isinstance(answer, Applied)
    assert (answer.revision, answer.author_id) == (1, who.editor.pk)
    record = pipeline.operations.get()
    assert record.operation == {"op": "rename", "node": "s0", "label": "Read"}
    assert record.inverse == {"op": "rename", "node": "s0", "label": ""}
    assert record.footprint == {"writes": ["n/s0/label"], "needs": ["n/s0"]}
    assert label(pipeline) == "Read"


def test_a_resend_gets_the_first_answer(who: People, pipeline: Pipeline) -> None:
    first = apply(pipeline, who.owner, 0, op="move_nodes", positions={"s0": [1, 2.5]})
    apply(pipeline, who.owner, 1, op="rename", node="s0", label="Later")
    again = services.apply_operation(
        pipeline=pipeline,
        user=who.owner,
        operation_id=first.operation_id,
        base_revision=0,
        operation={"op": "move_nodes", "positions": {"s0": [1, 2.5]}},
    )
    assert again == first
    assert draft(pipeline).revision == 2


@pytest.mark.parametrize("other", ["operation", "author"])
def test_an_id_that_was_used_for_something_else_is_refused(
    who: People, pipeline: Pipeline, other: str
) -> None:
    first = apply(pipeline, who.owner, 0, op="rename", node="s0", label="Read")
    answer = services.apply_operation(
        pipeline=pipeline,
        user=who.editor if other == "author" else who.owner,
        operation_id=first.operation_id,
        base_revision=1,
        operation={**first.operation, "label": "Other" if other == "operation" else "Read"},
    )
    assert isinstance(answer, Refused)
    assert answer.code == "operation_id_taken"


def test_a_stale_write_of_the_same_key_is_refused_with_both_values(
    who: People, pipeline: Pipeline
) -> None:
    apply(pipeline, who.owner, 0, op="rename", node="s0", label="Theirs")
    answer = apply(pipeline, who.editor, 0, op="rename", node="s0", label="Yours")
    assert (answer.code, answer.revision) == ("conflict", 1)
    (conflict,) = answer.conflicts
    assert asdict(conflict) == {
        "key": "n/s0/label",
        "yours": "Yours",
        "theirs": "Theirs",
        "revision": 1,
        "author_id": who.owner.pk,
    }
    assert label(pipeline) == "Theirs"


def test_stale_writes_of_other_keys_are_both_kept(who: People, pipeline: Pipeline) -> None:
    apply(pipeline, who.owner, 0, op="rename", node="s0", label="Read")
    answer = apply(
        pipeline, who.editor, 0, op="set_config", node="s0", field="instructions", value="Be brief."
    )
    assert answer.revision == 2
    assert label(pipeline) == "Read"
    assert draft(pipeline).graph.nodes["s0"].config["instructions"] == "Be brief."


@pytest.mark.parametrize(
    ("theirs", "yours", "key", "now"),
    [
        (
            {"op": "set_config", "node": "s0", "field": "lm", "value": "a"},
            {"op": "set_config", "node": "s0", "field": "lm", "value": "b"},
            "n/s0/config/lm",
            "a",
        ),
        (
            {"op": "remove_node", "node": "s0"},
            {"op": "rename", "node": "s0", "label": "x"},
            "",
            None,
        ),
        (
            {"op": "rename", "node": "s0", "label": "x"},
            {"op": "remove_node", "node": "s0"},
            "n/s0",
            {"kind": "predict", "version": 1, "label": "x", "config": {"signature": "x -> y"}},
        ),
        (
            {
                "op": "disconnect",
                "source": "s0",
                "source_port": "y",
                "target": "s1",
                "target_port": "x",
            },
            {"op": "remove_node", "node": "s0"},
            "n/s1/in/x",
            [],
        ),
        (
            {"op": "describe", "name": "Theirs"},
            {"op": "describe", "name": "Yours", "description": "Both"},
            "p/name",
            "Theirs",
        ),
        (
            {"op": "add_node", "node": "new", "kind": "lm"},
            {"op": "add_node", "node": "new", "kind": "template"},
            "n/new",
            {"kind": "lm", "version": 1},
        ),
    ],
)
def test_what_meets_is_shown_as_it_is_now(
    who: People, pipeline: Pipeline, theirs: Any, yours: Any, key: str, now: Any
) -> None:
    apply(pipeline, who.owner, 0, **theirs)
    text = draft(pipeline).text
    answer = apply(pipeline, who.editor, 0, **yours)
    assert answer.code == "conflict"
    shown = {conflict.key: conflict.theirs for conflict in answer.conflicts}
    assert shown[key or min(shown)] == now
    assert draft(pipeline).text == text


def test_positions_never_conflict_and_the_last_one_wins(who: People, pipeline: Pipeline) -> None:
    apply(pipeline, who.owner, 0, op="move_nodes", positions={"s0": [1, 1]})
    answer = apply(pipeline, who.editor, 0, op="move_nodes", positions={"s0": [2, 2]})
    assert answer.revision == 2
    assert draft(pipeline).graph.layout["s0"].x == 2


def test_moving_a_node_that_another_tab_deleted_is_refused(who: People, pipeline: Pipeline) -> None:
    apply(pipeline, who.owner, 0, op="remove_node", node="s1")
    answer = apply(pipeline, who.owner, 0, op="move_nodes", positions={"s1": [2, 2]})
    assert answer.code == "conflict"
    assert draft(pipeline).revision == 1


def test_a_batch_is_applied_whole_or_not_at_all(who: People, pipeline: Pipeline) -> None:
    good = {"op": "rename", "node": "s0", "label": "Read"}
    bad = {"op": "rename", "node": "nowhere", "label": "x"}
    assert apply(pipeline, who.owner, 0, op="batch", operations=[good, bad]).code == "invalid"
    assert label(pipeline) == ""
    assert apply(pipeline, who.owner, 0, op="batch", operations=[good, good]).revision == 1
    assert label(pipeline) == "Read"


def test_undo_takes_back_and_undoing_that_is_redo(who: People, pipeline: Pipeline) -> None:
    before = draft(pipeline).text
    removed = apply(pipeline, who.owner, 0, op="remove_node", node="s1")
    after = draft(pipeline).text
    back = undone(pipeline, who.owner, removed)
    assert draft(pipeline).text == before
    assert undone(pipeline, who.owner, back).revision == 3
    assert draft(pipeline).text == after


def test_undo_is_refused_when_others_wrote_there_since(who: People, pipeline: Pipeline) -> None:
    mine = apply(pipeline, who.owner, 0, op="rename", node="s0", label="Mine")
    apply(pipeline, who.editor, 1, op="rename", node="s0", label="Theirs")
    answer = undone(pipeline, who.owner, mine)
    assert answer.code == "conflict"
    assert (answer.conflicts[0].yours, answer.conflicts[0].theirs) == ("", "Theirs")


def test_undo_passes_by_what_one_wrote_oneself_and_what_others_wrote_elsewhere(
    who: People, pipeline: Pipeline
) -> None:
    first = apply(pipeline, who.owner, 0, op="rename", node="s0", label="First")
    apply(pipeline, who.owner, 1, op="rename", node="s0", label="Second")
    apply(pipeline, who.editor, 2, op="rename", node="s1", label="Theirs")
    assert undone(pipeline, who.owner, first).revision == 4
    assert (label(pipeline), label(pipeline, "s1")) == ("", "Theirs")


def test_undo_of_something_that_is_gone_changes_nothing(who: People, pipeline: Pipeline) -> None:
    renamed = apply(pipeline, who.owner, 0, op="rename", node="s0", label="Read")
    apply(pipeline, who.owner, 1, op="remove_node", node="s0")
    assert undone(pipeline, who.owner, renamed).code == "gone"


def test_a_resent_undo_is_done_once(who: People, pipeline: Pipeline) -> None:
    renamed = apply(pipeline, who.owner, 0, op="rename", node="s0", label="Read")
    ids = {"operation_id": uuid.uuid4(), "undoes": renamed.operation_id}
    first = services.undo(pipeline=pipeline, user=who.owner, **ids)
    assert services.undo(pipeline=pipeline, user=who.owner, **ids) == first
    assert draft(pipeline).revision == 2


def test_an_operation_of_another_pipeline_cannot_be_undone_here(
    who: People, pipeline: Pipeline
) -> None:
    elsewhere = apply(pipeline_of(who), who.owner, 0, op="rename", node="s0", label="x")
    assert undone(pipeline, who.owner, elsewhere).code == "unknown_operation"


def test_the_name_in_lists_follows_the_draft(who: People, pipeline: Pipeline) -> None:
    apply(pipeline, who.owner, 0, op="describe", name="Sort mail", description="By urgency")
    pipeline.refresh_from_db()
    assert (pipeline.name, pipeline.description) == ("Sort mail", "By urgency")


@pytest.mark.parametrize("base", [1, 99, -1])
def test_a_revision_that_is_not_there_is_refused(
    who: People, pipeline: Pipeline, base: int
) -> None:
    answer = apply(pipeline, who.owner, base, op="rename", node="s0", label="x")
    assert answer.code == "unknown_revision"


def test_an_edit_made_too_long_ago_is_refused(
    who: People, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edits, "MAX_BEHIND", 0)
    apply(pipeline, who.owner, 0, op="rename", node="s0", label="x")
    answer = apply(pipeline, who.owner, 0, op="rename", node="s1", label="x")
    assert answer.code == "too_far_behind"


DEEP: Any = 1
for _ in range(70):
    DEEP = [DEEP]
NESTED_BATCH: Any = {"op": "batch", "operations": []}
for _ in range(5_000):
    NESTED_BATCH = {"op": "batch", "operations": [NESTED_BATCH]}


@pytest.mark.parametrize(
    ("operation", "code", "message"),
    [
        (None, "invalid", "no operation"),
        ({"op": "eval", "text": "1"}, "invalid", "no operation"),
        ({"op": "rename", "node": "s0", "label": "x" * 201}, "invalid", "label"),
        ({"op": "rename", "node": "s0", "label": "\ud800"}, "invalid", "surrogate"),
        ({"op": "rename", "node": "s0", "label": "a\x00b"}, "invalid", "NUL"),
        ({"op": "describe", "name": "  "}, "invalid", "name"),
        ({"op": "describe", "name": "x" * 201}, "invalid", "name"),
        ({"op": "add_node", "node": "Bad Id", "kind": "lm"}, "invalid", "id"),
        ({"op": "move_nodes", "positions": {"s0": [float("nan"), 0]}}, "invalid", "NaN"),
        ({"op": "move_nodes", "positions": {"s0": [float("inf"), 0]}}, "invalid", "NaN"),
        ({"op": "set_config", "node": "s0", "field": "x", "value": DEEP}, "invalid", "nested"),
        (NESTED_BATCH, "invalid", "nested"),
        ({"op": "set_config", "node": "s0", "field": "x", "value": {1}}, "invalid", "JSON"),
        (
            {"op": "set_config", "node": "s0", "field": "x", "value": "x" * 1_000_000},
            "too_large",
            "1,000,000 is the limit",
        ),
        (
            {"op": "batch", "operations": [{"op": "rename", "node": "s0", "label": ""}] * 2_001},
            "too_large",
            "2,000 is the limit",
        ),
        (
            {
                "op": "connect",
                "source": "s0",
                "source_port": "",
                "target": "s1",
                "target_port": "x",
            },
            "invalid",
            "edge",
        ),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(
    who: People, pipeline: Pipeline, operation: Any, code: str, message: str
) -> None:
    before = draft(pipeline).text
    answer = services.apply_operation(
        pipeline=pipeline,
        user=who.owner,
        operation_id=uuid.uuid4(),
        base_revision=0,
        operation=operation,
    )
    assert (answer.code, draft(pipeline).text) == (code, before)  # type: ignore[union-attr]
    assert message in answer.message  # type: ignore[union-attr]


def test_what_looks_like_an_escaped_nul_is_only_text(who: People, pipeline: Pipeline) -> None:
    answer = apply(pipeline, who.owner, 0, op="rename", node="s0", label="\\u0000")
    assert answer.revision == 1
    assert label(pipeline) == "\\u0000"


def test_a_graph_does_not_grow_past_its_limit(
    who: People, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.services.graph_text.MAX_NODES", 5)
    answer = apply(pipeline, who.owner, 0, op="add_node", node="sixth", kind="lm")
    assert answer.code == "too_large"
    assert "6 nodes; 5 is the limit" in answer.message


@pytest.mark.parametrize("name", ["viewer", "outsider", "staff", "anonymous"])
def test_only_editors_edit(who: People, pipeline: Pipeline, name: str) -> None:
    with pytest.raises(NotAllowed):
        apply(pipeline, who.named(name), 0, op="rename", node="s0", label="x")
    with pytest.raises(NotAllowed):
        services.undo(
            pipeline=pipeline, user=who.named(name), operation_id=uuid.uuid4(), undoes=uuid.uuid4()
        )


def test_a_role_that_was_taken_away_counts_at_once(who: People, pipeline: Pipeline) -> None:
    apply(pipeline, who.editor, 0, op="rename", node="s0", label="x")
    Membership.objects.filter(user=who.editor).delete()
    with pytest.raises(NotAllowed):
        apply(pipeline, who.editor, 1, op="rename", node="s0", label="y")


def test_tabs_are_told_after_the_commit(
    who: People, pipeline: Pipeline, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[Any] = []

    def listen(sender: Any, **news: Any) -> None:
        told.append((news["pipeline_id"], news["applied"].revision))

    operation_applied.connect(listen)
    with django_capture_on_commit_callbacks(execute=True):
        apply(pipeline, who.owner, 0, op="rename", node="s0", label="x")
        apply(pipeline, who.owner, 0, op="rename", node="s0", label="refused")
        assert not told
    operation_applied.disconnect(listen)
    assert told == [(pipeline.pk, 1)]


def test_a_listener_that_fails_does_not_undo_the_edit(
    who: People, pipeline: Pipeline, django_capture_on_commit_callbacks: Any
) -> None:
    def fail(sender: Any, **news: Any) -> None:
        raise RuntimeError

    operation_applied.connect(fail)
    with django_capture_on_commit_callbacks(execute=True):
        apply(pipeline, who.owner, 0, op="rename", node="s0", label="x")
    operation_applied.disconnect(fail)
    assert label(pipeline) == "x"


def test_an_edit_that_lost_a_race_is_decided_anew(
    who: People, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, rival = edits._write, [{"op": "rename", "node": "s1", "label": "rival"}]

    def write_after_a_rival(edit: Any, draft: Draft, decision: Any) -> Any:
        if rival:
            apply(pipeline, who.editor, 0, **rival.pop())
        return write(edit, draft, decision)

    monkeypatch.setattr(edits, "_write", write_after_a_rival)
    answer = apply(pipeline, who.owner, 0, op="rename", node="s0", label="mine")
    assert answer.revision == 2
    assert (label(pipeline), label(pipeline, "s1")) == ("mine", "rival")


def test_an_edit_that_always_loses_says_that_it_can_be_sent_again(
    who: People, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edits, "_write", lambda *arguments: None)
    with pytest.raises(Busy) as caught:
        apply(pipeline, who.owner, 0, op="rename", node="s0", label="mine")
    assert caught.value.retryable
    assert not OperationRecord.objects.exists()


def test_every_earlier_revision_can_be_had_again(who: People, pipeline: Pipeline) -> None:
    texts = [draft(pipeline).text]
    for revision, operation in enumerate(
        [
            {"op": "remove_node", "node": "s1"},
            {"op": "add_node", "node": "new", "kind": "lm", "position": [3, 4]},
            {"op": "describe", "name": "Other"},
        ]
    ):
        apply(pipeline, who.owner, revision, **operation)
        texts.append(draft(pipeline).text)
    for revision, text in enumerate(texts):
        graph = services.graph_at(pipeline=pipeline, revision=revision)
        assert codec.dump(graph) == text
