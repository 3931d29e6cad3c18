"""Rows that are written once: history that people rely on."""

from typing import Any, NoReturn

from django.db import models

from pipelines.models.errors import Unchangeable


class WrittenOnce(models.Model):
    """Base of rows that are never changed, and go only when what they belong to goes.

    A cascade does not pass through `delete`, so deleting a project still takes its history along.
    """

    class Meta:
        abstract = True

    def save(self, **options: Any) -> None:
        if not self._state.adding:
            raise Unchangeable(f"{self} is kept as it was made. Make a new one instead.")
        super().save(**options)

    def delete(self, *args: Any, **options: Any) -> NoReturn:
        raise Unchangeable(f"{self} is part of a history. It goes when its project is deleted.")
