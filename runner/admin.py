"""Runs in the admin: history, to look at. What can be done to a run is done on its page."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from pipelines.admin import AskingAdmin, HistoryAdmin
from pipelines.permissions import Action
from runner.bridge.tools import REGISTERED
from runner.models import AllowedTool, Attempt, CachedAnswer, Event, RouterChange, Run, Step


class StepInline(admin.TabularInline):  # type: ignore[type-arg]  # no generic at run time
    model = Step
    fields = ("path", "kind", "status", "backend", "attempt_count", "started_at", "seconds")
    readonly_fields = fields
    ordering = ("started_at", "path")
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Run)
class RunAdmin(HistoryAdmin[Run]):
    list_display = ["__str__", "status", "project", "author", "created_at", "duration", "lm_calls"]
    list_filter = ["status", "created_at"]
    list_select_related = ["project", "pipeline", "author"]
    search_fields = ["id", "pipeline__name", "project__name", "author__username", "failure_code"]
    search_help_text = "Id, pipeline, project, account or failure code"
    inlines = [StepInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        return super().get_queryset(request).defer("version__text")


@admin.register(Step)
class StepAdmin(HistoryAdmin[Step]):
    list_display = ["path", "run", "kind", "status", "backend", "seconds", "failure_code"]
    list_filter = ["status"]
    ordering = ["-pk"]  # the index has it; that of a run's own page would sort them all
    list_select_related = ["run__pipeline"]
    search_fields = ["path", "run__id", "failure_code", "failure_message"]
    search_help_text = "Path, id of the run, or failure"


@admin.register(Attempt)
class AttemptAdmin(HistoryAdmin[Attempt]):
    list_display = ["step", "number", "run", "backend", "status", "started_at", "failure_code"]
    list_filter = ["status"]
    ordering = ["-pk"]
    list_select_related = ["run__pipeline"]
    search_fields = ["step", "run__id", "failure_code"]
    search_help_text = "Path of the step, id of the run, or failure code"


@admin.register(Event)
class EventAdmin(HistoryAdmin[Event]):
    list_display = ["seq", "run", "type", "step", "attempt"]
    ordering = ["-pk"]
    list_select_related = ["run__pipeline"]
    search_fields = ["run__id", "step"]
    search_help_text = "Id of the run, or path of the step"


@admin.register(CachedAnswer)
class CachedAnswerAdmin(HistoryAdmin[CachedAnswer]):
    list_display = ["key", "project", "profile", "created_at"]
    list_filter = ["created_at"]
    list_select_related = ["project"]
    search_fields = ["profile", "project__name"]
    search_help_text = "LM profile or project"


@admin.register(AllowedTool)
class AllowedToolAdmin(AskingAdmin[AllowedTool]):
    """Which pipelines may call which host tools: those that installed apps registered."""

    manage = Action.ALLOW_TOOLS
    list_display = ["name", "pipeline", "about"]
    list_filter = ["name"]
    list_select_related = ["pipeline"]
    search_fields = ["name", "pipeline__name"]
    autocomplete_fields = ["pipeline"]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "name":
            choices = [(tool.name, tool.name) for tool in REGISTERED.values()]
            return forms.ChoiceField(choices=choices, help_text="Registered by an installed app.")
        return super().formfield_for_dbfield(db_field, request, **options)

    @admin.display(description="What it does")
    def about(self, row: AllowedTool) -> str:
        tool = REGISTERED.get(row.name)
        return tool.description if tool else "No installed app has it any more."


@admin.register(RouterChange)
class RouterChangeAdmin(HistoryAdmin[RouterChange]):
    list_display = ["at", "author", "did", "about", "project"]
    list_select_related = ["author", "project"]
