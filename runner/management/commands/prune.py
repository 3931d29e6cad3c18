"""`manage.py prune`: deletes what is kept longer than it should be, and says what is kept."""

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import connection
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from pipelines.models import Project
from runner.models import CachedAnswer
from runner.services import due_runs, forget_unused_indexes, prune
from runner.services.kept import database_size, shares_of
from runner.services.retention import KEEP_ANSWERS


class Command(BaseCommand):
    help = "Delete runs and cached answers that are older than they are kept; --dry-run only tells."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Say what would go.")
        parser.add_argument(
            "--days", type=int, help="Days that finished runs stay, in place of what is set."
        )
        parser.add_argument("--project", help="The name of one project.")
        parser.add_argument(
            "--shrink",
            action="store_true",
            help="Give freed room back to the disk (SQLite). Nobody can write meanwhile.",
        )

    def handle(
        self,
        *args: Any,
        dry_run: bool,
        days: int | None,
        project: str | None,
        shrink: bool,
        **options: Any,
    ) -> None:
        if days is not None and days < 0:
            raise CommandError("--days is 0 or more.")
        keep = None if days is None else timedelta(days=days)
        now, of = timezone.now(), _project(project)
        self._tell(now, keep, of)
        if not dry_run:
            self._delete(now, keep, of)
            if shrink:
                self._shrink()

    def _tell(self, now: datetime, keep: timedelta | None, project: Project | None) -> None:
        """What is due: rows and bytes by sort."""
        shares = shares_of(due_runs(now=now, keep_runs=keep, project=project))
        answers = CachedAnswer.objects.filter(created_at__lt=now - KEEP_ANSWERS)
        if project is not None:
            answers = answers.filter(project=project)
        size = sum(share.size for share in shares.values())
        counts = ", ".join(f"{share.rows:,} {sort}" for sort, share in shares.items())
        self.stdout.write(
            f"Due: {counts}, together {filesizeformat(size)}; {answers.count():,} cached answers. "
            f"The database has {filesizeformat(database_size())}."
        )

    def _delete(self, now: datetime, keep: timedelta | None, project: Project | None) -> None:
        count = 0
        while deleted := prune(now=now, keep_runs=keep, project=project):
            count += deleted
            self.stdout.write(f"{count:,} runs deleted")
        indexes = forget_unused_indexes()
        self.stdout.write(
            f"Done: {count:,} runs, and {indexes:,} indexes of collections that are no more."
        )

    def _shrink(self) -> None:
        if connection.vendor != "sqlite":
            raise CommandError("--shrink is for SQLite; PostgreSQL does it by itself (autovacuum).")
        before = database_size()
        with connection.cursor() as cursor:
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.stdout.write(
            f"The database has {filesizeformat(database_size())}, it had {filesizeformat(before)}."
        )


def _project(name: str | None) -> Project | None:
    if name is None:
        return None
    found = list(Project.objects.filter(name=name)[:2])
    if len(found) != 1:
        many = "Several projects have" if found else "No project has"
        raise CommandError(f"{many} the name '{name}'.")
    return found[0]
