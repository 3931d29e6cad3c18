"""The admin. Beside Django's own model permissions, everything asks `can`, and what is more than one
plain row is written by the services."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import ForeignKey, Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.utils.text import capfirst

from pipelines import services
from pipelines.forms import LIVE, CredentialForm, RegisteredSignatureForm, SignatureVersionForm
from pipelines.models import (
    ApprovedHost,
    Collection,
    Credential,
    Document,
    LMProfile,
    Membership,
    OperationRecord,
    Pipeline,
    PipelineVersion,
    Project,
    Role,
    Signature,
    SignatureVersion,
)
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, NotAllowed, can, require
from pipelines.views.signatures import parts_of, read, uses_of


class AskingAdmin[M: Model](admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    """Base of all: one sees and chooses from what one may see, and changes what `manage` allows."""

    manage: Action
    list_per_page = 40

    def get_queryset(self, request: HttpRequest) -> QuerySet[M]:
        found: QuerySet[M] = self.model.objects.visible_to(request.user)
        return found.order_by(*self.get_ordering(request))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_view_permission(request, obj)
        return allowed and (obj is None or can(request.user, Action.VIEW, obj))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or can(request.user, self.manage, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or can(request.user, self.manage, obj))

    def formfield_for_foreignkey(
        self, db_field: "ForeignKey[Any, Any]", request: HttpRequest, **options: Any
    ) -> Any:
        related: Any = db_field.related_model
        if hasattr(related.objects.all(), "visible_to"):
            options["queryset"] = related.objects.visible_to(request.user)
        return super().formfield_for_foreignkey(db_field, request, **options)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        # Asked again: the form may have moved it to another project.
        require(request.user, self.manage, obj)
        super().save_model(request, obj, form, change)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def changeform_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        return self._explained(request, super().changeform_view, *args, **options)

    def delete_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        return self._explained(request, super().delete_view, *args, **options)

    def _explained(
        self, request: HttpRequest, view: Callable[..., HttpResponse], *args: Any, **options: Any
    ) -> HttpResponse:
        """What a service refuses is said on the page."""
        try:
            return view(request, *args, **options)
        except PipelinesError as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())


class HistoryAdmin[M: Model](AskingAdmin[M]):
    """What happened: to be read and searched."""

    manage = Action.VIEW
    show_full_result_count = False
    list_per_page = 40

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Project)
class ProjectAdmin(AskingAdmin[Project]):
    manage = Action.MANAGE_PROJECT
    list_display = ["name", "personal_of", "created_at"]
    list_filter = ["created_at"]
    list_select_related = ["personal_of"]
    search_fields = ["name", "memberships__user__username"]
    readonly_fields = ["personal_of", "created_at"]
    ordering = ["name"]

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        made = services.create_project(user=_user(request), name=obj.name)
        _stand_for(obj, made)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What goes along, counted: a project may have a hundred thousand events. It takes its
        history along, which nothing else may delete."""
        counts: dict[str, int] = {}
        shown: list[Any] = []
        for project in objs:
            rows = _rows_of(project)
            shown += [f"Project: {project}", [f"{rows[name]:,} {name}" for name in rows]]
            counts = {name: counts.get(name, 0) + count for name, count in rows.items()}
        may = all(self.has_delete_permission(request, project) for project in objs)
        needed = set() if may else {Project._meta.verbose_name}
        return shown, {"projects": len(objs), **counts}, needed, []

    def delete_model(self, request: HttpRequest, obj: Project) -> None:
        services.delete_project(project=obj, user=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Project]) -> None:
        for project in queryset:
            self.delete_model(request, project)


@admin.register(Membership)
class MembershipAdmin(AskingAdmin[Membership]):
    manage = Action.MANAGE_MEMBERS
    list_display = ["user", "project", "role", "created_at"]
    list_filter = ["role"]
    list_select_related = ["user", "project"]
    search_fields = ["user__username", "project__name"]
    autocomplete_fields = ["project", "user"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["project", "user"] if obj else []

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        kept = services.set_role(
            project=obj.project, user=request.user, member=obj.user, role=Role(obj.role)
        )
        _stand_for(obj, kept)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        services.remove_member(project=obj.project, user=request.user, member=obj.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for membership in queryset:
            self.delete_model(request, membership)


@admin.register(Pipeline)
class PipelineAdmin(AskingAdmin[Pipeline]):
    """Pipelines are made and changed in the editor; here they are found and archived."""

    manage = Action.EDIT
    list_display = ["name", "project", "revision", "archived", "updated_at"]
    list_filter = ["archived", "updated_at"]
    list_select_related = ["project", "draft"]
    search_fields = ["name", "slug", "project__name"]
    readonly_fields = [
        *("name", "slug", "project", "description", "revision", "archived"),
        *("created_by", "created_at", "updated_at"),
    ]
    actions = ["archive", "take_out_of_archive"]
    ordering = ["-updated_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pipeline]:
        return super().get_queryset(request).defer("draft__text")  # long, and not shown

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a pipeline goes with its project; until then it can be archived

    @admin.display(ordering="draft__revision")
    def revision(self, pipeline: Pipeline) -> int:
        return pipeline.draft.revision

    @admin.action(description="Archive the selected pipelines", permissions=["change"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Pipeline]) -> None:
        self._archive(request, queryset, archived=True)

    @admin.action(description="Take the selected pipelines out of the archive")
    def take_out_of_archive(self, request: HttpRequest, queryset: QuerySet[Pipeline]) -> None:
        self._archive(request, queryset, archived=False)

    def _archive(
        self, request: HttpRequest, queryset: QuerySet[Pipeline], *, archived: bool
    ) -> None:
        for pipeline in queryset:
            try:
                services.archive_pipeline(pipeline=pipeline, user=request.user, archived=archived)
            except NotAllowed:
                self.message_user(request, f"You may not edit {pipeline}.", messages.ERROR)


@admin.register(PipelineVersion)
class PipelineVersionAdmin(HistoryAdmin[PipelineVersion]):
    list_display = ["pipeline", "number", "short_hash", "author", "created_at", "published_at"]
    list_filter = ["published_at", "created_at"]
    list_select_related = ["pipeline", "author"]
    search_fields = ["pipeline__name", "content_hash", "note"]
    exclude = ["text"]  # it can be 10 MB
    readonly_fields = ["nodes"]
    ordering = ["-created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PipelineVersion]:
        return super().get_queryset(request).defer("text")

    @admin.display(description="content")
    def short_hash(self, version: PipelineVersion) -> str:
        return version.content_hash[:12]

    def nodes(self, version: PipelineVersion) -> str:
        return ", ".join(sorted(version.graph.nodes)[:200])


@admin.register(OperationRecord)
class OperationRecordAdmin(HistoryAdmin[OperationRecord]):
    list_display = ["pipeline", "revision", "what", "author", "at"]
    list_filter = ["at"]
    list_select_related = ["pipeline", "author"]
    search_fields = ["pipeline__name", "=operation_id", "author__username"]
    date_hierarchy = "at"
    ordering = ["-at"]

    @admin.display(description="operation")
    def what(self, record: OperationRecord) -> str:
        return str(record.operation.get("op", ""))


class VersionInline(admin.TabularInline):  # type: ignore[type-arg]  # no generic at run time
    model = SignatureVersion
    fields = readonly_fields = ("number", "text", "note", "author", "created_at")
    ordering = ("-number",)
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Signature)
class SignatureAdmin(AskingAdmin[Signature]):
    """A new one comes with its first version; the later ones are added one by one."""

    manage = Action.MANAGE_SIGNATURES
    list_display = ["name", "project", "text", "archived", "created_at"]
    list_filter = ["archived", ("project", admin.RelatedOnlyFieldListFilter), "created_at"]
    list_select_related = ["project"]
    search_fields = ["name", "description", "versions__text"]
    search_help_text = "Name, description, or a field"
    autocomplete_fields = ["project"]
    ordering = ["name"]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any
    ) -> Any:
        if obj is None:
            options["form"] = RegisteredSignatureForm
        return super().get_form(request, obj, change, **options)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None:
            named = ["name", "project", "description", "archived", "used_by"]
            return [(None, {"fields": named})]
        extras = ["descriptions", "constraints", "types"]
        return [
            (None, {"fields": ["name", "project", "description", "text", "instructions"]}),
            ("Descriptions, constraints, types", {"fields": extras, "classes": ["collapse"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["used_by"] if obj else []

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        return [VersionInline] if obj else []

    def get_object(self, request: HttpRequest, *args: Any) -> Signature | None:
        signature: Signature | None = super().get_object(request, *args)
        if signature is not None:
            vars(signature)["seen_by"] = request.user  # `used_by` is not told who looks
        return signature

    def get_queryset(self, request: HttpRequest) -> QuerySet[Signature]:
        return super().get_queryset(request).prefetch_related("versions")

    def save_model(self, request: HttpRequest, obj: Signature, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        values = form.cleaned_data
        with transaction.atomic():
            made = services.create_signature(
                project=obj.project,
                user=request.user,
                name=obj.name,
                description=obj.description,
            )
            if values["text"]:
                parts = {name: values[name] for name in LIVE}
                services.new_signature_version(signature=made, user=request.user, **parts)
        _stand_for(obj, made)

    @admin.display(description="latest version")
    def text(self, signature: Signature) -> str:
        latest = next(iter(signature.versions.all()), None)
        return f"{latest.number}: {latest.text}" if latest else "none yet"

    def used_by(self, signature: Signature) -> str:
        """The nodes that have one of its versions, and pipelines that had one in a version."""
        user = getattr(signature, "seen_by", AnonymousUser())
        uses = uses_of(user, list(signature.versions.all()))
        now = {use["pipeline"].pk for use in uses}
        before = signature.used_by(user).exclude(pk__in=now)[:50]
        context = {"uses": uses, "before": before, "latest": signature.latest}
        return render_to_string("admin/pipelines/signature_uses.html", context)


@admin.register(SignatureVersion)
class SignatureVersionAdmin(AskingAdmin[SignatureVersion]):
    """Made here, never changed: what is wrong is mended by the next version."""

    manage = Action.MANAGE_SIGNATURES
    form = SignatureVersionForm
    list_display = ["signature", "number", "text", "author", "created_at"]
    list_filter = ["created_at", ("signature__project", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["signature", "author"]
    search_fields = ["signature__name", "text", "hash"]
    search_help_text = "Name of the signature, a field, or a hash"
    autocomplete_fields = ["signature"]
    ordering = ["signature__name", "-number"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = ["number", "author", "created_at", "fields_and_schema"] if obj else []
        return ["signature", *LIVE, "note", *shown]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.get_fields(request, obj) if obj else []

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """The next version begins as the latest one is."""
        try:
            pk = UUID(request.GET.get("signature", ""))
        except ValueError:
            return {}
        signature = Signature.objects.visible_to(request.user).filter(pk=pk).first()
        latest = signature.latest if signature else None
        return {"signature": signature, **(parts_of(latest) if latest else {})}

    @admin.display(description="fields and JSON Schema")
    def fields_and_schema(self, version: SignatureVersion) -> str:
        context = read(parts_of(version))
        return render_to_string("admin/pipelines/signature_preview.html", context)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and obj.is_used)

    def save_model(
        self, request: HttpRequest, obj: SignatureVersion, form: Any, change: bool
    ) -> None:
        made = services.new_signature_version(
            signature=obj.signature,
            user=request.user,
            **{name: form.cleaned_data[name] for name in (*LIVE, "note")},
        )
        _stand_for(obj, made)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[SignatureVersion]) -> None:
        for version in queryset:
            version.delete()


@admin.register(Collection)
class CollectionAdmin(AskingAdmin[Collection]):
    manage = Action.MANAGE_COLLECTIONS
    list_display = ["name", "project", "document_count", "byte_count", "updated_at"]
    list_filter = ["updated_at"]
    list_select_related = ["project"]
    search_fields = ["name", "description", "project__name"]
    autocomplete_fields = ["project"]
    readonly_fields = ["document_count", "byte_count", "content_hash", "updated_at"]
    ordering = ["name"]


@admin.register(Document)
class DocumentAdmin(HistoryAdmin[Document]):
    """Read here, replaced as a whole on the collection's page."""

    list_display = ["collection", "position", "title", "source_name"]
    list_select_related = ["collection"]
    search_fields = ["title", "source_name", "collection__name"]
    ordering = ["collection__name", "position"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        return super().get_queryset(request).defer("text")


@admin.register(ApprovedHost)
class ApprovedHostAdmin(AskingAdmin[ApprovedHost]):
    manage = Action.APPROVE_HOSTS
    list_display = ["origin", "note", "private_network", "created_at"]
    search_fields = ["origin", "note"]
    ordering = ["origin"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["origin"] if obj else []  # its credentials are bound to it


@admin.register(Credential)
class CredentialAdmin(AskingAdmin[Credential]):
    """Write-only: a key goes in, its last characters come out."""

    manage = Action.MANAGE_CREDENTIALS
    form = CredentialForm
    list_display = ["name", "project", "host", "masked", "stored_at"]
    list_filter = ["host"]
    list_select_related = ["project", "host"]
    search_fields = ["name", "project__name", "host__origin"]
    autocomplete_fields = ["project", "host"]
    ordering = ["name"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["project", "name", "host"] if obj else []

    def save_model(self, request: HttpRequest, obj: Credential, form: Any, change: bool) -> None:
        stored = services.store_credential(
            project=obj.project,
            user=request.user,
            name=obj.name,
            host=obj.host,
            secret=form.cleaned_data["secret"],
        )
        _stand_for(obj, stored)


@admin.register(LMProfile)
class LMProfileAdmin(AskingAdmin[LMProfile]):
    manage = Action.MANAGE_LM_PROFILES
    list_display = ["name", "project", "adapter", "model", "is_default", "revision", "updated_at"]
    list_filter = ["adapter", "is_default"]
    list_select_related = ["project"]
    search_fields = ["name", "model", "project__name"]
    autocomplete_fields = ["project", "credential"]
    readonly_fields = ["revision", "created_at", "updated_at"]
    ordering = ["name"]

    def save_model(self, request: HttpRequest, obj: LMProfile, form: Any, change: bool) -> None:
        services.save_lm_profile(profile=obj, user=request.user)


def _rows_of(project: Project) -> dict[str, int]:
    """How many rows of each kind belong to the project, by the name of the kind."""
    counts: dict[str, int] = {}
    for relation in Project._meta.related_objects:
        rows = relation.related_model._base_manager.filter(**{relation.field.name: project})
        counts[str(relation.related_model._meta.verbose_name_plural)] = rows.count()
    return {name: count for name, count in counts.items() if count}


def _stand_for(obj: Model, stored: Model) -> None:
    """Let the admin's object be the row that a service wrote: it is logged and linked to."""
    obj.__dict__.update(stored.__dict__)


def _user(request: HttpRequest) -> Any:
    return request.user
