"""No page asks the database more often because there is more in it."""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from pipelines import services
from pipelines.models import Collection, LMProfile, Signature
from pipelines.services import DocumentText
from runner.engine.events import EventType
from runner.models import Run
from tests.graphs import chain
from tests.people import People, apply, credential_of, people, pipeline_of, profile_of
from tests.run_rows import a_step, an_event, ended
from tests.runner_world import World

pytestmark = pytest.mark.django_db
LISTS = (
    *("/templates/", "/pipelines/", "/pipelines/?q=p", "/pipelines/figures/", "/goto/?q=p"),
    *("/runs/", "/runs/?q=p", "/runs/lines/", "/signatures/", "/collections/", "/lm-profiles/"),
    *("/workers/", "/router/", "/dspy-modules/"),
)
ADMIN = (
    *("/admin/", "/admin/pipelines/pipeline/", "/admin/pipelines/pipelineversion/"),
    *("/admin/pipelines/signature/", "/admin/pipelines/collection/", "/admin/pipelines/lmprofile/"),
    *("/admin/pipelines/credential/", "/admin/runner/run/", "/admin/runner/step/"),
    *("/admin/runner/event/", "/admin/runner/attempt/"),
)


@pytest.fixture
def who() -> People:
    return people()


def fill(who: People, rows: int) -> Run:
    """So many of everything; the last run, of the last pipeline."""
    project, user = who.project, who.owner
    for number in range(rows):
        pipeline = pipeline_of(who, name=f"Pipeline {number}", graph=chain(2))
        signature = services.create_signature(project=project, user=user, name=f"S{pipeline.pk}")
        services.new_signature_version(signature=signature, user=user, text="x -> y")
        services.create_collection(project=project, user=user, name=f"C{pipeline.pk}")
        profile_of(who, name=f"L{pipeline.pk}")
        credential_of(who, name=f"K{pipeline.pk}")
        run = ended(World(project, pipeline), inputs={"x": "a"})
    grow(who, run, rows)
    return run


def grow(who: People, run: Run, rows: int) -> None:
    """So many more of what a page about one thing lists: steps, events, runs, versions, documents."""
    user, begin = who.owner, run.steps.count()
    for number in range(begin, begin + rows):
        a_step(run, f"s{number}")
        an_event(run, number + 1, EventType.STEP_SUCCEEDED, f"s{number}", outputs={"y": "a"})
        ended(World(who.project, run.pipeline), inputs={"x": str(number)})
        services.new_signature_version(
            signature=latest(Signature), user=user, text=f"x{number} -> y"
        )
        apply(run.pipeline, user, number, op="rename_pipeline", name=f"Named {number}")
        services.publish_version(pipeline=run.pipeline, user=user)
    texts = [DocumentText(title=f"{number}", text="Words.") for number in range(begin + rows)]
    services.replace_documents(collection=latest(Collection), user=user, documents=texts)


def latest[T: Model](model: type[T]) -> T:
    found: T = model._default_manager.latest("created_at")
    return found


def pages(run: Run) -> Iterator[str]:
    yield from LISTS
    yield from ADMIN
    yield from (f"/runs/{run.pk}/?show={show}" for show in ("timeline", "output", "events"))
    yield from (f"/pipelines/{run.pipeline_id}/", f"/pipelines/{run.pipeline_id}/panel/")
    yield f"/pipelines/{run.pipeline_id}/history/"
    yield f"/collections/{latest(Collection).pk}/"
    yield f"/signatures/{latest(Signature).pk}/"
    yield f"/lm-profiles/{latest(LMProfile).pk}/"


def test_no_page_asks_more_often_when_there_is_more(who: People) -> None:
    client = Client(headers={"host": "localhost"})
    client.force_login(who.superuser)
    run = fill(who, 2)
    for page in pages(run):
        client.get(page)  # what is remembered from now on is no query of the page's
    few = {page: queries(client, page) for page in pages(run)}
    grow(who, run, 4)
    fill(who, 3)
    more = {page: queries(client, page) for page in few}
    assert more == few


def queries(client: Client, page: str) -> int:
    with CaptureQueriesContext(connection) as asked:
        assert client.get(page).status_code == 200, page
    return len(asked)
