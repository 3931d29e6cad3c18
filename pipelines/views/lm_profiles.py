"""LM profiles: the list, one profile's form, and credentials, which go in and never come out."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from pipelines import services
from pipelines.forms import BudgetForm, LMProfileForm, NewCredentialForm, NewLMProfileForm, say
from pipelines.models import Budget, Credential, LMProfile
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, can, get_or_404
from pipelines.views.requests import go_to, person

LISTED = 300


@require_safe
def profile_list(request: HttpRequest) -> HttpResponse:
    context = {
        "profiles": _listed(request),
        "credentials": Credential.objects.visible_to(person(request)).select_related("host")[
            :LISTED
        ],
        "budgets": Budget.objects.visible_to(person(request)).select_related("project")[:LISTED],
    }
    return render(request, "pipelines/lm_profiles.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def profile(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Its form; who may not change it sees the values."""
    user = person(request)
    action = Action.MANAGE_LM_PROFILES if request.method == "POST" else Action.VIEW
    rows = LMProfile.objects.select_related("project", "credential__host")
    found = get_or_404(user, action, rows, pk=pk)
    form = LMProfileForm(request.POST or None, instance=found, user=user)
    if request.method == "POST" and form.is_valid():
        try:
            services.save_lm_profile(profile=form.instance, user=user)
            messages.success(request, f"{found.name} is saved.")
            return redirect("pipelines:lm_profile", pk=pk)
        except (ValidationError, PipelinesError) as error:
            say(form, error)
    may_change = can(user, Action.MANAGE_LM_PROFILES, found)
    if not may_change:
        for field in form.fields.values():
            field.disabled = True
    context = {
        "profiles": _listed(request),
        "profile": LMProfile.objects.get(pk=pk),  # the form's may hold what was refused
        "form": form,
        "may_change": may_change,
        "may_test": can(user, Action.USE_CREDENTIAL, found),
    }
    status = 422 if form.errors else 200
    return render(request, "pipelines/lm_profile.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    form = NewLMProfileForm(person(request), request.POST or None)
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        values = form.cleaned_data
        try:
            project = values.pop("project") or services.personal_project(user=request.user)
            made = services.save_lm_profile(
                profile=LMProfile(project=project, **values), user=request.user
            )
            return go_to(reverse("pipelines:lm_profile", args=[made.pk]))
        except (ValidationError, PipelinesError) as error:
            form.say(error, "name")
    words = {"form": form, "title": "New LM profile", "does": "Create profile"}
    return render(request, "partials/dialog_form.html", words, status=422 if form.is_bound else 200)


@sensitive_post_parameters("secret")
@require_http_methods(["GET", "HEAD", "POST"])
def new_credential(request: HttpRequest) -> HttpResponse:
    form = NewCredentialForm(person(request), request.POST or None)
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        values = form.cleaned_data
        try:
            stored = services.store_credential(
                project=values["project"] or services.personal_project(user=request.user),
                user=request.user,
                name=values["name"],
                host=values["host"],
                secret=values["secret"],
            )
            messages.success(request, f"The key {stored.name} is stored for {stored.host}.")
            return go_to(reverse("pipelines:lm_profiles"))
        except (ValidationError, PipelinesError) as error:
            form.say(error, "secret")
    words = {"form": form, "title": "Store a key", "does": "Store key"}
    return render(request, "partials/dialog_form.html", words, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def set_budget(request: HttpRequest) -> HttpResponse:
    form = BudgetForm(person(request), request.POST or None)
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        values = form.cleaned_data
        try:
            project = values.pop("project") or services.personal_project(user=request.user)
            budget = services.set_budget(project=project, user=request.user, **values)
            period = Budget.Period(values["period"]).label
            said = "is set" if budget else "is taken away"
            messages.success(request, f"The budget of {project} for {period} {said}.")
            return go_to(reverse("pipelines:lm_profiles"))
        except (ValidationError, PipelinesError) as error:
            form.say(error, "period")
    words = {"form": form, "title": "Set a budget", "does": "Set budget"}
    return render(request, "partials/dialog_form.html", words, status=422 if form.is_bound else 200)


def _listed(request: HttpRequest) -> list[LMProfile]:
    """Those that can be seen, the person's projects' before everybody's."""
    found = LMProfile.objects.visible_to(person(request)).select_related("project")
    return list(found.order_by("name")[:LISTED])
