"""What is kept: counted, deleted when it is due, and gone with its project to the last row and file."""

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.db.models import Q
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pipelines import services
from pipelines.models import Collection, Project
from pipelines.services import DocumentText
from runner.engine.events import EventType
from runner.models import CachedAnswer, Run
from runner.native.corpus import build_index, forget_unused_indexes
from runner.services import due_runs, prune
from runner.services.kept import kept
from tests.run_rows import a_step, an_event, client_of, ended
from tests.runner_world import World

pytest_plugins = ["tests.runner_fixtures"]


def old(world: World, days: int, number: int = 1) -> list[Run]:
    at = timezone.now() - timedelta(days=days)
    runs = [ended(world, finished_at=at) for _ in range(number)]
    for run in runs:
        a_step(run)
        an_event(run, 1, EventType.STEP_SUCCEEDED, "s0", outputs={"y": "ä" * 100})
    return runs


def manage(*command: str) -> str:
    out = StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


@pytest.fixture
def administrator(world: World) -> Client:
    User.objects.filter(username="owner").update(is_superuser=True)
    return client_of(world)


def test_a_project_says_itself_how_long_its_runs_are_kept(world: World) -> None:
    runs = {days: old(world, days)[0].pk for days in (2, 10, 40)}

    def due(keep: int | None) -> set[int]:
        Project.objects.update(keep_days=keep)
        found = due_runs(now=timezone.now())
        return {days for days, pk in runs.items() if pk in found.values_list("pk", flat=True)}

    assert [due(None), due(5), due(0)] == [{40}, {10, 40}, set()]
    with override_settings(RETENTION_DAYS=0):
        assert [due(None), due(5)] == [set(), {10, 40}]


def test_what_is_not_finished_and_others_stay(world: World) -> None:
    other = Project.objects.create(name="Other")
    old(world, 40)
    running = world.run(status="running", created_at=timezone.now() - timedelta(days=90))
    assert not due_runs(now=timezone.now(), project=other).exists()
    assert prune(now=timezone.now(), project=other) == 0
    assert prune(now=timezone.now(), keep_runs=timedelta(0)) == 1
    assert list(Run.objects.all()) == [running]


def test_rows_and_bytes_are_counted_by_project(world: World) -> None:
    empty = Project.objects.create(name="Empty", keep_days=7)
    old(world, 1, 2)
    CachedAnswer.objects.create(
        project=world.project, key="k", profile="p", value="ü", size=2, created_at=timezone.now()
    )
    (ours, other), left = kept()
    assert left == 0
    rows = {sort: share.rows for sort, share in ours.shares.items()}
    assert rows == {"runs": 2, "events": 2, "artifacts": 0, "answers": 0, "cached": 1}
    assert ours.shares["cached"].size == 2
    assert ours.shares["events"].size == 2 * len('{"outputs": {"y": "' + "\\u00e4" * 100 + '"}}')
    assert (other.project, other.days, other.size, ours.days) == (empty, 7, 0, 30)


def test_what_a_run_left_is_read_once_and_queries_do_not_grow(world: World) -> None:
    world.run(status="running")
    seen = []
    for runs in (1, 20):
        old(world, 1, runs)
        kept()
        with CaptureQueriesContext(connection) as asked:
            (ours,), _ = kept()
        seen.append(len(asked))
    assert seen[0] == seen[1]
    assert (ours.shares["runs"].rows, ours.shares["events"].rows) == (22, 21)
    with connection.cursor() as cursor:
        for query in asked:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plan = [row[3] for row in cursor.fetchall()]
            # All of a table is read only where that is an index of small columns.
            assert not [
                step
                for step in plan
                if step.startswith("SCAN runner_") and "COVERING INDEX" not in step
            ], query["sql"]
    told = ours.shares["events"].size
    an_event(Run.objects.exclude(finished_at=None)[0], 2, EventType.TRACE, "s0", much="x" * 1000)
    assert kept()[0][0].shares["events"].size == told


def test_what_takes_long_to_measure_is_told_and_follows(
    world: World, administrator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.services.sizes.AT_ONCE", 2)
    old(world, 1, 5)
    (ours,), left = kept(0.0)
    assert (ours.shares["runs"].rows, ours.shares["events"].rows, left) == (5, 2, 3)
    monkeypatch.setattr("runner.views.kept.kept_of_all", lambda: kept(0.0))
    assert "1 run that ended is still" in administrator.get("/kept/", {"part": "figures"}).text
    assert "still being" not in administrator.get("/kept/", {"part": "figures"}).text


def test_the_command_tells_first_and_deletes_then(world: World) -> None:
    old(world, 40, 3)
    old(world, 5)
    said = manage("prune", "--dry-run")
    assert "3 runs, 3 events" in said and Run.objects.count() == 4
    assert "Done: 3 runs" in manage("prune")
    assert "1 runs, 1 events" in manage("prune", "--days", "1", "--dry-run", "--project", "Ours")
    assert "Done: 1 runs" in manage("prune", "--days", "1")
    assert "The database has" in manage("prune", "--shrink")
    with pytest.raises(CommandError, match="No project has the name 'Nobody's'"):
        manage("prune", "--project", "Nobody's")


def test_the_page_counts_and_deletes_with_progress(
    world: World, administrator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.services.retention.AT_ONCE", 2)
    old(world, 40, 3)
    assert "30 days" in administrator.get("/kept/").text
    assert "Ours" in administrator.get("/kept/", {"part": "figures"}).text
    assert "Delete 3 runs" in administrator.get("/kept/due/", {"days": "", "project": ""}).text
    assert "There are none." in administrator.get("/kept/due/", {"days": "50"}).text
    first = administrator.post("/kept/delete/", {"days": "5", "total": "3"}).text
    assert "2 of 3 runs are deleted" in first and 'value="2" max="3"' in first
    last = administrator.post("/kept/delete/", {"days": "5", "total": "3", "done": "2"}).text
    assert "3 of 3" in last
    assert "3 runs deleted." in administrator.post("/kept/delete/", {"done": "3"}).text
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "data", [{"days": "-1"}, {"days": "99999"}, {"days": "0" * 6 + "9" * 12}, {"project": "x"}]
)
def test_a_wish_that_is_none_deletes_nothing(
    world: World, administrator: Client, data: dict[str, str]
) -> None:
    old(world, 40)
    assert 'role="alert"' in administrator.get("/kept/due/", data).text
    assert administrator.post("/kept/delete/", data).status_code == 422
    assert Run.objects.exists()


def test_what_is_kept_is_for_administrators(world: World) -> None:
    old(world, 40)
    client = client_of(world)
    answers = (client.get("/kept/"), client.get("/kept/due/"), client.post("/kept/delete/"))
    assert [each.status_code for each in answers] == [403, 403, 403]
    assert Run.objects.exists()


# Deleting a project


def leads_to_projects() -> Iterator[tuple[type[models.Model], str]]:
    """Every model that a row of has to do with a project, and by what path."""
    paths: dict[type[models.Model], str] = {Project: ""}
    left = [model for model in apps.get_models() if model is not Project]
    while True:
        found = {
            model: f"{field.name}__{paths[field.related_model]}".rstrip("_")
            for model in left
            if model not in paths
            for field in model._meta.concrete_fields
            if field.is_relation and field.related_model in paths
        }
        if not found:
            break
        paths |= found
    for model, path in paths.items():
        if path:
            yield model, path


def a_row(
    model: type[models.Model], made: dict[type[models.Model], models.Model], number: Iterator[int]
) -> models.Model:
    """A row with something in every field that needs it; what it points to is in `made`."""
    values: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if field.is_relation:
            if field.related_model not in made and not field.null:
                made[field.related_model] = a_row(field.related_model, made, number)
            if field.related_model in made:
                values[field.name] = made[field.related_model]
        elif not field.has_default() and not field.null and not field.primary_key:
            values[field.name] = _something(field, next(number))
    row: models.Model = model._base_manager.create(**values)
    return row


def _something(field: Any, number: int) -> Any:
    if field.choices:
        return field.choices[0][0]
    match field:
        case models.DateTimeField():
            return timezone.now()
        case models.BinaryField():
            return b"x"
        case models.CharField() | models.TextField():
            return f"x{number}"[: field.max_length]
        case _:
            return number


def test_a_deleted_project_leaves_no_row_and_no_index(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    project = Project.objects.create(name="To go")
    made: dict[type[models.Model], models.Model] = {
        Project: project,
        User: world.person("outsider"),
    }
    about, number = dict(leads_to_projects()), count(1)
    while missing := [model for model in about if model not in made]:
        for model in missing:
            needs = {f.related_model for f in model._meta.concrete_fields if f.is_relation}
            if all(each in made or each not in about for each in needs):
                made[model] = a_row(model, made, number)
    rows = {model: made[model].pk for model in about}
    assert len(rows) > 20

    collection = services.replace_documents(
        collection=Collection.objects.get(project=project),
        user=User(is_superuser=True),
        documents=[DocumentText(text="Words.")],
    )
    index = tmp_path / "dspex" / "collections" / f"{collection.content_hash}.1.sqlite"
    build_index(index, [])
    services.delete_project(project=project, user=User(is_superuser=True))
    assert not index.exists()
    # Also by its own key: a row that only lost its project would be found by nothing else.
    left = [
        model._meta.label
        for model, path in about.items()
        if model._base_manager.filter(Q(pk=rows[model]) | Q(**{path: project.pk})).exists()
    ]
    assert left == []
    assert Project.objects.get() == world.project


def test_an_index_that_another_collection_shares_stays(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("one", "two"):
        Collection.objects.create(project=world.project, name=name, content_hash="a" * 64)
    index = tmp_path / "dspex" / "collections" / f"{'a' * 64}.1.sqlite"
    build_index(index, [])
    Collection.objects.get(name="one").delete()
    assert index.exists()
    Collection.objects.get(name="two").delete()
    assert not index.exists()


def test_only_old_indexes_that_nobody_needs_are_swept(tmp_path: Path) -> None:
    for version in ("a", "b"):
        build_index(tmp_path / f"{version * 64}.1.sqlite", [])
    (tmp_path / "notes.txt").touch()
    assert forget_unused_indexes(tmp_path, keep={"a" * 64}, age=60) == 0
    assert forget_unused_indexes(tmp_path, keep={"a" * 64}, age=-60) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{'a' * 64}.1.sqlite", "notes.txt"]
