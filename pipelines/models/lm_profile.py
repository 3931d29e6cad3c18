"""LM profiles: under which settings a language model is called."""

import json
import math
from typing import Any, Self
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from pipelines.models.credential import ApprovedHost, Credential, origin_of
from pipelines.models.errors import HostNotApproved
from pipelines.models.project import OwnedQuerySet, Project
from pipelines.models.public_id import PublicId

MAX_SETTINGS = 100_000
# Where a key or another address would slip past the credential and the approved hosts.
FORBIDDEN_SETTINGS = frozenset(
    {
        *("api_key", "apikey", "authorization", "headers", "extra_headers", "token", "password"),
        *("secret", "credential", "api_base", "base_url", "endpoint", "model_list"),
        *("proxy", "proxies"),
    }
)


FLOATS = (
    *("temperature", "timeout", "connect_timeout", "first_token_timeout"),
    *("input_price", "cached_input_price", "output_price"),
)
# The adapters that call a host. litellm knows the addresses of its providers; what is stored names one
# all the same, since only approved hosts are called.
ADDRESSED = frozenset({"openai_compatible", "anthropic", "litellm"})


class LMProfileQuerySet(OwnedQuerySet["LMProfile"]):
    shared = True

    def named(self, project: Project, name: str | None) -> "LMProfile | None":
        """What a node of the project means by `name`, or by leaving it out: the default one."""
        found = self.within(project)
        return (
            found.filter(is_default=True).first() if not name else found.filter(name=name).first()
        )

    def serving(self, project: Project) -> Self:
        """All that the project's runs can call, with what their calls need."""
        return self.within(project).select_related("credential__host")


class LMProfile(PublicId):
    """Of a project, or of none: then everybody can call it. The fields are those that the gateway
    takes (docs/reference/models.md); `revision` rises with every change."""

    class Adapter(models.TextChoices):
        """Who speaks to the provider."""

        LOCAL = "local"  # the model that comes with DSPex
        SCRIPTED = "scripted"  # given answers, for tests and demonstrations
        OPENAI_COMPATIBLE = "openai_compatible", "OpenAI-compatible"
        ANTHROPIC = "anthropic"
        INSTRUCTOR = "instructor"  # over another one: checks answers and asks again
        LITELLM = "litellm", "LiteLLM"

    class Format(models.TextChoices):
        """How native predictors write and read."""

        CHAT = "chat"
        JSON = "json", "JSON"
        COMPACT = "compact"  # for small models, with a schema

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, null=True, blank=True, related_name="lm_profiles"
    )
    name = models.CharField(max_length=100, help_text="What nodes call it.")
    is_default = models.BooleanField(
        default=False, help_text="Taken by nodes that name none. One per project."
    )
    adapter = models.CharField(max_length=30, choices=Adapter.choices)
    model = models.CharField(max_length=200, blank=True)
    base_url = models.CharField(
        max_length=2_000, blank=True, help_text="On an approved host: https://api.example.com/v1"
    )
    # Restricted: a key that a profile needs stays, unless both go with their project.
    credential = models.ForeignKey(
        Credential, on_delete=models.RESTRICT, null=True, blank=True, related_name="lm_profiles"
    )
    format = models.CharField(max_length=10, choices=Format.choices, default=Format.CHAT)
    structured = models.BooleanField(
        default=True, help_text="The provider can hold an answer to a JSON Schema."
    )
    temperature = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(2)]
    )
    max_tokens = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(1_000_000)]
    )
    concurrency = models.PositiveIntegerField(
        default=8,
        help_text="Calls at a time, of all projects together.",
        validators=[MinValueValidator(1), MaxValueValidator(1_000)],
    )
    requests_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Further ones wait. Empty: no limit.",
        validators=[MinValueValidator(1), MaxValueValidator(1_000_000)],
    )
    tokens_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Input and output. Empty: no limit.",
        validators=[MinValueValidator(1), MaxValueValidator(1_000_000_000)],
    )
    connect_timeout = models.FloatField(
        default=10.0,
        help_text="Seconds to reach the provider.",
        validators=[MinValueValidator(0.1), MaxValueValidator(600)],
    )
    first_token_timeout = models.FloatField(
        null=True,
        blank=True,
        help_text="Seconds up to the first text. Empty: no limit of its own.",
        validators=[MinValueValidator(0.1), MaxValueValidator(86_400)],
    )
    timeout = models.FloatField(
        default=120.0,
        help_text="Seconds for one attempt.",
        validators=[MinValueValidator(0.1), MaxValueValidator(86_400)],
    )
    retries = models.PositiveIntegerField(
        default=3, help_text="After an outage.", validators=[MaxValueValidator(10)]
    )
    input_price = models.FloatField(
        default=0.0, help_text="US dollars per million tokens.", validators=[MinValueValidator(0)]
    )
    cached_input_price = models.FloatField(
        null=True,
        blank=True,
        help_text="What the provider had in its cache. Empty: as other input.",
        validators=[MinValueValidator(0)],
    )
    output_price = models.FloatField(
        default=0.0, help_text="US dollars per million tokens.", validators=[MinValueValidator(0)]
    )
    settings = models.JSONField(default=dict, blank=True, help_text="The adapter's own.")
    revision = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = LMProfileQuerySet.as_manager()

    class Meta:
        verbose_name = "LM profile"
        ordering = ["name"]
        indexes = [models.Index(fields=["name"])]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"], name="lm_profile_name_in_its_project"
            ),
            models.UniqueConstraint(
                fields=["name"], condition=Q(project=None), name="lm_profile_name_of_no_project"
            ),
            models.UniqueConstraint(
                fields=["project"], condition=Q(is_default=True), name="one_default_in_a_project"
            ),
            models.UniqueConstraint(
                fields=["is_default"],
                condition=Q(is_default=True, project=None),
                name="one_default_of_no_project",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="lm_profile_has_a_name"),
            models.CheckConstraint(
                condition=Q(temperature=None) | Q(temperature__range=(0, 2)),
                name="temperature_is_0_to_2",
            ),
            models.CheckConstraint(
                condition=Q(max_tokens=None) | Q(max_tokens__range=(1, 1_000_000)),
                name="max_tokens_is_1_to_1000000",
            ),
            models.CheckConstraint(
                condition=Q(concurrency__range=(1, 1_000)), name="concurrency_is_1_to_1000"
            ),
            models.CheckConstraint(
                condition=Q(timeout__range=(0.1, 86_400)), name="timeout_is_up_to_a_day"
            ),
            models.CheckConstraint(condition=Q(retries__lte=10), name="retries_are_10_at_most"),
            models.CheckConstraint(
                condition=Q(input_price__gte=0, output_price__gte=0), name="prices_are_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(cached_input_price=None) | Q(cached_input_price__gte=0),
                name="cached_price_is_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(requests_per_minute=None) | Q(requests_per_minute__gte=1),
                name="requests_per_minute_are_some",
            ),
            models.CheckConstraint(
                condition=Q(tokens_per_minute=None) | Q(tokens_per_minute__gte=1),
                name="tokens_per_minute_are_some",
            ),
            models.CheckConstraint(
                condition=Q(connect_timeout__range=(0.1, 600)),
                name="connect_timeout_is_up_to_10_min",
            ),
            models.CheckConstraint(
                condition=Q(first_token_timeout=None) | Q(first_token_timeout__range=(0.1, 86_400)),
                name="first_token_is_up_to_a_day",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def owning_project_id(self) -> UUID | None:
        return self.project_id

    def save(self, **options: Any) -> None:
        """Save, and raise `revision` if the row was there: stored answers are known by it."""
        if not self._state.adding:
            self.revision = F("revision") + 1
            if (fields := options.get("update_fields")) is not None:
                options["update_fields"] = {*fields, "revision"}
        super().save(**options)

    def clean(self) -> None:
        # NaN passes every range check, and a database has its own idea of it.
        problems = {
            name: "A number is needed."
            for name in FLOATS
            if isinstance(value := getattr(self, name), float) and not math.isfinite(value)
        }
        if problem := self._address_problem():
            problems["base_url"] = problem
        if self.credential and (problem := self._credential_problem(self.credential)):
            problems["credential"] = problem
        if problem := _settings_problem(self.settings):
            problems["settings"] = problem
        if problems:
            raise ValidationError(problems)

    @property
    def has_address(self) -> bool:
        """Whether its adapter, or the one that instructor stands over, calls a host."""
        adapter = self.adapter
        if adapter == self.Adapter.INSTRUCTOR and isinstance(self.settings, dict):
            adapter = self.settings.get("over", self.Adapter.OPENAI_COMPATIBLE)
        return adapter in ADDRESSED

    def _address_problem(self) -> str | None:
        if not self.has_address:
            return (
                f"The adapter '{self.adapter}' has no address. Leave it empty."
                if self.base_url
                else None
            )
        if not self.base_url:
            return (
                "This adapter needs the address of a provider, such as https://api.example.com/v1."
            )
        if "?" in self.base_url or "#" in self.base_url:
            return "The address of a provider ends with its path: leave out what follows ? or #."
        try:
            ApprovedHost.objects.of(self.base_url)
        except (ValidationError, HostNotApproved) as error:
            return error.messages[0] if isinstance(error, ValidationError) else error.message
        return None

    def _credential_problem(self, credential: Credential) -> str | None:
        if credential.project_id != self.project_id:
            return "A profile takes credentials of its own project only. Choose one of those."
        if not self.base_url:
            return f"The adapter '{self.adapter}' takes no credential. Leave it empty."
        try:
            origin = origin_of(self.base_url)
        except ValidationError:
            return None  # the address is reported
        if origin != credential.host.origin:
            return f"This credential is for {credential.host.origin}, not for {origin}."
        return None


def _settings_problem(settings: Any) -> str | None:
    if not isinstance(settings, dict):
        return 'Settings are a JSON object, such as {} or {"context": 4096}.'
    try:
        size, names = len(json.dumps(settings)), _names_in(settings)
    except RecursionError:
        return "The settings are nested too deep."
    if size > MAX_SETTINGS:
        return f"The settings have {size:,} characters; {MAX_SETTINGS:,} is the limit."
    for name in names:
        if name.lower().replace("-", "_") in FORBIDDEN_SETTINGS:
            return (
                f"'{name}' does not belong here: keys are stored as credentials, addresses above."
            )
    return None


def _names_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(name for item in value.values() for name in _names_in(item))]
    if isinstance(value, list):
        return [name for item in value for name in _names_in(item)]
    return []
