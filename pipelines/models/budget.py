"""Budgets: what a project may spend on language models."""

import math
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from pipelines.models.project import OwnedQuerySet, Project
from pipelines.models.public_id import PublicId


class BudgetQuerySet(OwnedQuerySet["Budget"]):
    pass


class Budget(PublicId):
    """A limit on tokens, on US dollars, or on both. A call that might pass it is not made, and the run
    waits for a person."""

    class Period(models.TextChoices):
        """What it is for."""

        RUN = "run", "each run"
        DAY = "day", "a day"
        MONTH = "month", "a month"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="budgets")
    period = models.CharField(max_length=10, choices=Period.choices)
    tokens = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        help_text="Input and output. Empty: no limit.",
        validators=[MinValueValidator(1)],
    )
    cost = models.FloatField(
        null=True,
        blank=True,
        help_text="US dollars, by the prices of the LM profiles. Empty: no limit.",
        validators=[MinValueValidator(0)],
    )
    updated_at = models.DateTimeField(auto_now=True)

    objects = BudgetQuerySet.as_manager()

    class Meta:
        ordering = ["project", "period"]
        constraints = [
            models.UniqueConstraint(fields=["project", "period"], name="one_budget_a_period"),
            models.CheckConstraint(
                condition=Q(cost=None) | Q(cost__gte=0), name="cost_is_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.project}, {self.get_period_display()}"

    @property
    def owning_project_id(self) -> UUID:
        return self.project_id

    def clean(self) -> None:
        if self.cost is not None and not math.isfinite(self.cost):
            raise ValidationError({"cost": "A number is needed."})
        if self.tokens is None and self.cost is None:
            raise ValidationError("A budget limits tokens, cost or both: enter at least one.")

    def began(self, now: datetime) -> datetime:
        """When its present day or month began, in the zone of `now`."""
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return day.replace(day=1) if self.period == self.Period.MONTH else day
