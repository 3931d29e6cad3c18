"""The admin's front: our name, our order, our sign-in."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

SECTIONS = (
    ("Signature registry", ("Signature", "SignatureVersion")),
    ("Pipelines", ("Pipeline", "PipelineVersion", "OperationRecord", "AllowedTool")),
    ("Collections", ("Collection", "Document")),
    ("Language models", ("LMProfile", "Credential", "ApprovedHost", "CachedAnswer")),
    ("Projects and people", ("Project", "Membership", "User", "Group")),
    ("Runs", ("Run", "Step", "Attempt", "Event", "RouterSubject", "RouterChange")),
)
"""What stands together, by the names of models. What is in none comes last."""


class DSPexAdmin(admin.AdminSite):
    site_header = site_title = "DSPex admin"
    index_title = "Admin"

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """By what an administrator looks for, not by where the code is."""
        apps = super().get_app_list(request, app_label)
        if app_label is not None:
            return apps
        left = {model["object_name"]: model for app in apps for model in app["models"]}
        sections = [
            _section(title, [left.pop(name) for name in names if name in left])
            for title, names in SECTIONS
        ]
        sections.append(_section("Other", list(left.values())))
        return [section for section in sections if section["models"]]

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """There is one place to sign in. Who is signed in and sent here may not come in."""
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(request.GET.get("next", request.get_full_path()))


def _section(title: str, models: list[Any]) -> dict[str, Any]:
    address = models[0]["admin_url"] if models else ""
    label = title.lower().replace(" ", "-")
    return {"name": title, "app_label": label, "app_url": address, "models": models}
