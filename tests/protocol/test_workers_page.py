"""The page of workers: it is never empty, hides what is others', and lets administrators manage pools."""

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from runner.models import PoolOrder
from runner.services.pools import keep_runner_figures
from tests.runner_world import World

pytest_plugins = ["tests.runner_fixtures"]
pytestmark = pytest.mark.django_db


def client_of(world: World, name: str) -> Client:
    client = Client()
    client.force_login(world.person(name))
    return client


def told(page: str) -> list[dict[str, object]]:
    _, _, rest = page.partition('id="workers-told" type="application/json">')
    found: list[dict[str, object]] = json.loads(rest.partition("</script>")[0])
    return found


def test_the_page_has_the_last_figures_without_what_is_others(world: World) -> None:
    run = world.run()
    steps = [{"run_id": str(run.pk), "step": "secret-step"}]
    worker = {"number": 1, "state": "busy", "run_id": str(run.pk), "steps": steps}
    stats = {"runner": "r", "runs": 1, "pools": [{"pool": "general", "workers": [worker]}]}
    keep_runner_figures(runner="r", stats=stats, now=timezone.now())
    seen = {
        name: told(client_of(world, name).get(reverse("runner:workers")).content.decode())
        for name in ("owner", "outsider")
    }
    (own,) = seen["owner"][0]["pools"][0]["workers"]  # type: ignore[index]
    (other,) = seen["outsider"][0]["pools"][0]["workers"]  # type: ignore[index]
    assert (own["steps"], own["run_id"], own["held"]) == (steps, str(run.pk), True)
    assert (other["run_id"], other["held"]) == ("", True)
    assert other["steps"] == [{"run_id": "", "step": ""}]


def administrator() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


def test_administrator_scales_and_drains_and_the_page_says_so(world: World) -> None:
    client = administrator()
    address = reverse("runner:order_pool")
    answer = client.post(address, {"pool": "neural", "does": "scale", "size": 6, "spares": 1})
    assert answer.status_code == 200
    answer = client.post(address, {"pool": "neural", "does": "drain"})
    text = answer.content.decode()
    assert 'value="6"' in text and "Resume" in text
    assert "Scaled to 6 workers, 1 spares" in text and "Drained" in text
    page = client.get(reverse("runner:workers")).content.decode()
    assert "Manage pools" in page and 'value="6"' in page and 'data-order="' in page


@pytest.mark.parametrize("size", ["0", "-1", "lots", "9" * 30, "1.5", "²"])
def test_size_that_can_not_be_is_refused_with_what_can(world: World, size: str) -> None:
    asked = {"pool": "general", "does": "scale", "size": size, "spares": "0"}
    answer = administrator().post(reverse("runner:order_pool"), asked)
    assert answer.status_code == 422
    assert "from 1 to 150" in answer.content.decode()
    assert not PoolOrder.objects.exists()


@pytest.mark.parametrize("name", ["owner", "viewer", "outsider"])
def test_others_see_no_controls_and_may_not_use_them(world: World, name: str) -> None:
    client = client_of(world, name)
    page = client.get(reverse("runner:workers")).content.decode()
    assert "Manage pools" not in page and "data-order" not in page
    asked = {"pool": "general", "does": "drain"}
    assert client.post(reverse("runner:order_pool"), asked).status_code == 403
    assert not PoolOrder.objects.exists()


def test_worker_is_replaced_by_name(world: World) -> None:
    asked = {"pool": "general", "does": "replace_worker", "runner": "r:1:a", "worker": "7"}
    assert administrator().post(reverse("runner:order_pool"), asked).status_code == 200
    order = PoolOrder.objects.get()
    assert (order.runner, order.worker, str(order)) == ("r:1:a", 7, "general: Worker replaced 7")
