"""What administrators ask of the pools, and the last figures that each runner told."""

from uuid import UUID

from django.conf import settings
from django.db import models


class Does(models.TextChoices):
    """What an order does."""

    SCALE = "scale", "Scaled"  # size and spares, until the next one
    DRAIN = "drain", "Drained"  # no step begins, until it is resumed
    RESUME = "resume", "Resumed"
    RESET_BREAKER = "reset_breaker", "Breaker reset"  # once, by runners that run now
    REPLACE_WORKER = "replace_worker", "Worker replaced"  # once, by its runner


class PoolOrder(models.Model):
    """One order, for every runner: each keeps a pool of this name. Kept, so that it is known who did
    what, and so that a runner that starts later finds what still holds."""

    pool = models.CharField(max_length=40)
    does = models.CharField(max_length=20, choices=Does)
    size = models.PositiveSmallIntegerField(null=True)
    spares = models.PositiveSmallIntegerField(null=True)
    runner = models.CharField(max_length=200, blank=True)
    worker = models.PositiveIntegerField(null=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.pool}: {self.get_does_display()}{self.details}"

    @property
    def details(self) -> str:
        """What belongs to it, for people."""
        if self.does == Does.SCALE:
            return f" to {self.size} workers, {self.spares} spares"
        return f" {self.worker}" if self.does == Does.REPLACE_WORKER else ""

    @property
    def owning_project_id(self) -> UUID | None:
        return None


class RunnerFigures(models.Model):
    """What a runner told last of its pools, for pages that are opened before it tells again."""

    runner = models.CharField(max_length=200, unique=True)
    figures = models.TextField(help_text="JSON, as `live.workers` carries it.")
    at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["runner"]

    def __str__(self) -> str:
        return self.runner
