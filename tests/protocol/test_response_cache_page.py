"""The response cache on the pages of LM profiles: what it holds, for whom, and clearing it."""

from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from pipelines.models import LMProfile, Project
from runner.engine.events import EventType
from runner.models import CachedAnswer
from tests.run_rows import an_event, client_of, ended
from tests.runner_world import World

pytest_plugins = ["tests.runner_fixtures"]


def cached(project: Project, *profiles: str) -> None:
    CachedAnswer.objects.bulk_create(
        CachedAnswer(
            project=project,
            key=f"{number}{profile}"[:32],
            profile=profile,
            value='"grün"',
            size=7,
            created_at=timezone.now(),
        )
        for number, profile in enumerate(profiles)
    )


def page(world: World, name: str = "owner", **query: Any) -> str:
    response = client_of(world, name).get(reverse("runner:response_cache"), query)
    assert response.status_code == 200
    return str(response.content.decode())


def clear(world: World, name: str = "owner", **data: str) -> Any:
    address = reverse("runner:clear_response_cache", args=[world.project.pk])
    return client_of(world, name).post(address, data)


def left() -> list[str]:
    return sorted(CachedAnswer.objects.values_list("profile", flat=True))


def test_the_card_counts_answers_bytes_and_hits_of_ones_projects(world: World) -> None:
    cached(world.project, "fast", "fast", "<b>slow</b>")
    cached(Project.objects.create(name="Hidden"), "secret")
    run = ended(world, lm_calls=3)
    for seq, source in enumerate(("response_cache", "response_cache", "provider"), 1):
        an_event(run, seq, EventType.LM_CALL, "s0")
        run.events.filter(seq=seq).update(data='{"profile":"fast","source":"%s"}' % source)  # noqa: UP031
    text = page(world)
    assert '<td class="num">2</td><td class="num">14 B</td><td class="num">2</td>' in text
    assert "&lt;b&gt;slow" in text and "<b>" not in text
    assert "Hidden" not in text and "secret" not in text


def test_a_profile_is_cleared_without_the_others_and_a_project_whole(world: World) -> None:
    other = Project.objects.create(name="Other")
    cached(world.project, "fast", "fast", "slow")
    cached(other, "fast")
    assert "2 answers of fast in Ours cleared" in clear(world, lm="fast").content.decode()
    assert left() == ["fast", "slow"]
    assert "1 answer in Ours cleared" in clear(world).content.decode()
    assert list(CachedAnswer.objects.values_list("project", flat=True)) == [other.pk]


@pytest.mark.parametrize(("name", "status"), [("editor", 403), ("viewer", 403), ("outsider", 404)])
def test_who_does_not_look_after_profiles_clears_nothing(
    world: World, name: str, status: int
) -> None:
    cached(world.project, "fast")
    assert clear(world, name).status_code == status
    assert left() == ["fast"]
    assert "hx-post" not in page(world, name)


def test_a_profile_of_everybody_shows_where_its_name_means_it(world: World) -> None:
    """In a project with a profile of its own by that name, the answers are those of that one."""
    shared = LMProfile.objects.create(name="fast", adapter="scripted")
    cached(world.project, "fast")
    assert "Ours" in page(world, profile=str(shared.pk))
    own = LMProfile.objects.create(project=world.project, name="fast", adapter="scripted")
    assert "Ours" not in page(world, profile=str(shared.pk))
    assert "Ours" in page(world, profile=str(own.pk))
