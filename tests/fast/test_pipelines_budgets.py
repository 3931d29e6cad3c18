"""Budgets of projects, and what a run's calls count for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from pipelines import services
from pipelines.models import Budget
from pipelines.permissions import NotAllowed
from runner.dispatcher.assignments import assignment_of
from runner.models import Run
from runner.services import budgets_of, callable_profile
from tests.people import People, host, people, pipeline_of, profile_of

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def who() -> People:
    return people()


def a_run(who: People, *, days_ago: float = 0, **fields: Any) -> Run:
    pipeline = pipeline_of(who, name=f"P{Run.objects.count()}")
    version = services.freeze_version(pipeline=pipeline, user=who.owner)
    run = Run.objects.create(
        project=who.project, pipeline=pipeline, version=version, author=who.owner, **fields
    )
    Run.objects.filter(pk=run.pk).update(created_at=NOW - timedelta(days=days_ago))
    return run


def set_(who: People, period: str, **limits: Any) -> Budget | None:
    limits = {"tokens": None, "cost": None} | limits
    return services.set_budget(project=who.project, user=who.owner, period=period, **limits)


def test_an_owner_sets_changes_and_takes_away_a_budget(who: People) -> None:
    set_(who, "day", tokens=5)
    set_(who, "day", cost=2.5)
    assert [(b.period, b.tokens, b.cost) for b in who.project.budgets.all()] == [("day", None, 2.5)]
    assert set_(who, "day") is None
    assert not Budget.objects.exists()


def test_only_who_manages_the_project_sets_its_budgets(who: People) -> None:
    for person in (who.editor, who.viewer, who.outsider):
        with pytest.raises(NotAllowed):
            services.set_budget(project=who.project, user=person, period="day", tokens=1, cost=None)


@pytest.mark.parametrize(
    ("period", "limits", "field"),
    [
        ("year", {"tokens": 1}, "period"),
        ("day", {"tokens": 0}, "tokens"),
        ("day", {"cost": -1.0}, "cost"),
        ("day", {"cost": float("nan")}, "cost"),
    ],
)
def test_what_is_no_budget_is_named(
    who: People, period: str, limits: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        set_(who, period, **limits)
    assert field in caught.value.message_dict


def test_a_run_counts_for_what_was_spent_in_its_day_and_month(who: People) -> None:
    for period in Budget.Period.values:
        set_(who, period, tokens=1_000, cost=9.0)
    a_run(who, days_ago=0.1, input_tokens=5, cost=1.0)
    a_run(who, days_ago=2, input_tokens=50, cost=2.0)
    a_run(who, days_ago=40, input_tokens=500, cost=4.0)
    run = a_run(who, output_tokens=3, cost=0.5)
    found = {budget.name: budget for budget in budgets_of(run=run, now=NOW)}
    spent = {name: (b.spent.input_tokens, b.spent.cost) for name, b in found.items()}
    assert spent == {
        "this run": (0, 0.5),
        "project 'Support desk' for 2026-11-23": (5, 1.5),
        "project 'Support desk' for 2026-11": (55, 3.5),
    }
    assert {(b.tokens, b.cost) for b in found.values()} == {(1_000, 9.0)}


def test_runs_of_one_day_share_their_account_and_those_of_the_next_do_not(who: People) -> None:
    set_(who, "day", tokens=1)
    runs = a_run(who), a_run(who)
    keys = [budgets_of(run=run, now=NOW)[0].key for run in runs]
    assert keys[0] == keys[1]
    (tomorrow,) = budgets_of(run=runs[0], now=NOW + timedelta(days=1))
    assert tomorrow.key != keys[0]


def test_without_budgets_there_is_nothing_to_count_for(who: People) -> None:
    assert budgets_of(run=a_run(who), now=NOW) == []


def test_a_profile_for_calls_knows_itself_and_where_its_host_may_lead(who: People) -> None:
    approved = host("https://llm.internal")
    row = profile_of(who, adapter="anthropic", base_url="https://llm.internal/v1")
    profile = callable_profile(row=row, user=who.owner)
    assert (profile.id, profile.private_network) == (row.pk.hex, False)
    approved.private_network = True
    approved.save()
    assert callable_profile(row=row, user=who.owner).private_network


def test_a_run_is_taken_on_with_its_budgets(who: People) -> None:
    set_(who, "run", tokens=7)
    (budget,) = assignment_of(a_run(who, inputs={"x": "a"})).budgets
    assert (budget.name, budget.tokens) == ("this run", 7)
