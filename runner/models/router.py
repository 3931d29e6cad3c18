"""What the router learned, what people told it, and what an administrator allows."""

import hashlib
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import models

from pipelines.graph.graph import Backend
from pipelines.models import Pipeline, Project
from pipelines.models.project import OwnedQuerySet
from pipelines.models.public_id import PublicId
from runner.engine.figures import Entry, Figures, Subject
from runner.engine.router import RouterSettings

BACKENDS: tuple[Backend, ...] = ("native", "dspy")
_CHOICES = [("native", "Native"), ("dspy", "DSPy")]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Figures).decode


class RouterSubjectQuerySet(OwnedQuerySet["RouterSubject"]):
    pass


class RouterSubject(PublicId):
    """The figures of one kind, signature and LM of a project, by backend. `native` and `dspy` are JSON
    of `runner.engine.figures.Figures`; `key` is the hash of what they are about."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="router_subjects")
    kind = models.CharField(max_length=60)
    signature = models.TextField(blank=True)
    lm = models.CharField(max_length=100, blank=True)
    key = models.CharField(max_length=32, unique=True, editable=False)
    native = models.TextField(default="{}")
    dspy = models.TextField(default="{}")
    pin = models.CharField(max_length=10, choices=_CHOICES, blank=True)
    updated_at = models.DateTimeField(db_index=True)

    objects = RouterSubjectQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at"]

    def __str__(self) -> str:
        return " · ".join(filter(None, (self.kind, self.signature, self.lm)))

    @property
    def owning_project_id(self) -> UUID:
        return self.project_id

    @property
    def subject(self) -> Subject:
        return Subject(self.project_id.hex, self.kind, self.signature, self.lm)

    def figures(self, backend: Backend) -> Figures:
        return _decode(getattr(self, backend))

    def keep(self, backend: Backend, figures: Figures) -> None:
        """Put figures into the row, which is not saved by this."""
        setattr(self, backend, _encode(figures).decode())

    @property
    def entry(self) -> Entry:
        """As the router takes it."""
        return Entry(
            figures={each: self.figures(each) for each in BACKENDS},
            pin=next((each for each in BACKENDS if each == self.pin), None),
        )


def subject_key(subject: Subject) -> str:
    """32 hexadecimal digits."""
    return hashlib.blake2b(_encode(subject), digest_size=16).hexdigest()


class RouterChangeQuerySet(OwnedQuerySet["RouterChange"]):
    shared = True


class RouterChange(models.Model):
    """Who pinned, reset or set what, and when. Kept when the figures are gone; without a project it is
    about the installation."""

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, null=True, related_name="router_changes"
    )
    about = models.TextField()
    did = models.CharField(max_length=200)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    objects = RouterChangeQuerySet.as_manager()

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.about}: {self.did}"

    @property
    def owning_project_id(self) -> UUID | None:
        return self.project_id


class RunnerSettings(models.Model):
    """What holds for the whole installation: one row, made when it is first changed."""

    prefer_native = models.BooleanField(
        default=True, help_text="Take native where both can, unless DSPy is measured to do better."
    )
    fallback_to_python = models.BooleanField(
        default=True, help_text="Let DSPy run what is left to the router."
    )
    run_code = models.BooleanField(
        default=False,
        help_text="Let DSPy modules run code that a language model writes, in DSPy's sandbox "
        "(RLM, ProgramOfThought, CodeAct, Flex). Needs Deno.",
    )

    class Meta:
        verbose_name_plural = "runner settings"
        constraints = [
            models.CheckConstraint(condition=models.Q(pk=1), name="runner_settings_are_one_row")
        ]

    def __str__(self) -> str:
        return "Runner settings"

    @classmethod
    def current(cls) -> "RunnerSettings":
        return cls.objects.filter(pk=1).first() or cls(pk=1)

    @property
    def router(self) -> RouterSettings:
        return RouterSettings(
            prefer_native=self.prefer_native, fallback_to_python=self.fallback_to_python
        )


class AllowedToolQuerySet(OwnedQuerySet["AllowedTool"]):
    owner = "pipeline__project"


class AllowedTool(models.Model):
    """A host tool that the modules of a pipeline may call."""

    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="allowed_tools")
    name = models.CharField(max_length=64)

    objects = AllowedToolQuerySet.as_manager()

    class Meta:
        ordering = ["pipeline", "name"]
        constraints = [
            models.UniqueConstraint(fields=["pipeline", "name"], name="a_tool_is_allowed_once")
        ]

    def __str__(self) -> str:
        return f"{self.name} in {self.pipeline}"

    @property
    def owning_project_id(self) -> UUID:
        return self.pipeline.project_id


class DSPyModule(models.Model):
    """A module of the DSPy that workers have installed, as they described it when they started."""

    name = models.CharField(max_length=64, unique=True)
    doc = models.TextField(blank=True)
    options = models.JSONField(default=dict, help_text="JSON Schema.")
    takes = models.JSONField(default=list, help_text="What the host gives it.")
    deprecated = models.BooleanField(default=False)
    version = models.CharField(max_length=40, blank=True, help_text="Of DSPy.")

    class Meta:
        ordering = ["name"]
        verbose_name = "DSPy module"

    def __str__(self) -> str:
        return self.name

    @property
    def runs_code(self) -> bool:
        return "interpreter" in self.takes
