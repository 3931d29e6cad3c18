"""What a project may spend."""

from django.core.exceptions import ValidationError

from pipelines.models import Budget, Person, Project
from pipelines.permissions import Action, require


def set_budget(
    *, project: Project, user: Person, period: str, tokens: int | None, cost: float | None
) -> Budget | None:
    """Set the project's budget for a period; without a limit it is taken away. Raises ValidationError
    by field."""
    require(user, Action.MANAGE_PROJECT, project)
    if period not in Budget.Period.values:
        raise ValidationError({"period": "Choose one of the periods."})
    if tokens is None and cost is None:
        Budget.objects.filter(project=project, period=period).delete()
        return None
    budget = Budget.objects.filter(project=project, period=period).first()
    budget = budget or Budget(project=project, period=period)
    budget.tokens, budget.cost = tokens, cost
    budget.full_clean()
    budget.save()
    return budget
