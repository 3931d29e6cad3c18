"""The budgets that a run's calls count for, with what was spent of them before."""

from datetime import datetime

from django.db.models import Sum

from pipelines.models import Budget as BudgetRow
from runner.lm.budget import Budget
from runner.lm.types import Usage
from runner.models import Run


def budgets_of(*, run: Run, now: datetime) -> list[Budget]:
    """Those of its project. A run counts for the day and the month in which it was claimed."""
    rows = BudgetRow.objects.filter(project=run.project_id).select_related("project")
    return [_budget(row, run, now) for row in rows]


def _budget(row: BudgetRow, run: Run, now: datetime) -> Budget:
    if row.period == BudgetRow.Period.RUN:
        spent = Usage(input_tokens=run.input_tokens, output_tokens=run.output_tokens, cost=run.cost)
        key, name = f"run {run.pk.hex}", "this run"
        return Budget(key=key, name=name, spent=spent, tokens=row.tokens, cost=row.cost)
    began = row.began(now)
    period = began.strftime("%Y-%m-%d" if row.period == BudgetRow.Period.DAY else "%Y-%m")
    return Budget(
        key=f"project {row.project_id.hex} {period}",
        name=f"project '{row.project}' for {period}",
        spent=_spent_since(run, began),
        tokens=row.tokens,
        cost=row.cost,
    )


def _spent_since(run: Run, began: datetime) -> Usage:
    runs = Run.objects.filter(project=run.project_id, created_at__gte=began)
    sums = runs.aggregate(Sum("input_tokens"), Sum("output_tokens"), Sum("cost"))
    return Usage(
        input_tokens=sums["input_tokens__sum"] or 0,
        output_tokens=sums["output_tokens__sum"] or 0,
        cost=sums["cost__sum"] or 0.0,
    )
