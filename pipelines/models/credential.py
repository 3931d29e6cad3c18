"""Which hosts DSPex may send requests to, and the keys that it shows them."""

from typing import Self
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from pipelines.models import encryption
from pipelines.models.errors import HostNotApproved
from pipelines.models.project import OwnedQuerySet, Person, Project
from pipelines.models.public_id import PublicId

DEFAULT_PORTS = {"http": 80, "https": 443}
SHOWN = 4
"""Characters of a key that stay readable, at its end."""


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, in one spelling: `https://api.openai.com`.

    A ValidationError for what hides where it leads: user names, spaces, letters beyond ASCII.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValidationError(f"'{url}' is not an address.") from None
    if (
        parts.scheme not in DEFAULT_PORTS
        or not host
        or "@" in parts.netloc
        or not url.isascii()
        or any(character in url for character in " \t\r\n\\")
    ):
        raise ValidationError(f"'{url}' is not an address such as https://api.example.com/v1.")
    host = f"[{host}]" if ":" in host else host.rstrip(".")
    shown_port = "" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{shown_port}"


class ApprovedHostQuerySet(models.QuerySet["ApprovedHost"]):
    def visible_to(self, user: Person) -> Self:
        """Everybody who is signed in: one must know what a profile may be pointed at."""
        return self.all() if user.is_active else self.none()

    def of(self, url: str) -> "ApprovedHost":
        """The approval that covers an address; HostNotApproved if there is none."""
        origin = origin_of(url)
        host = self.filter(origin=origin).first()
        if host is None:
            raise HostNotApproved(
                f"{origin} is not an approved host. Ask an administrator to approve it."
            )
        return host


class ApprovedHost(PublicId):
    """An origin that administrators let the gateway call."""

    origin = models.CharField(
        max_length=255, unique=True, help_text="Such as https://api.openai.com"
    )
    note = models.CharField(max_length=200, blank=True)
    private_network = models.BooleanField(
        "leads into a private network",
        default=False,
        help_text="The name may lead to this machine or to an address that is not public. An address "
        "that is written out needs no such approval.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ApprovedHostQuerySet.as_manager()

    class Meta:
        ordering = ["origin"]

    def __str__(self) -> str:
        return self.origin

    def clean(self) -> None:
        """Keep the one spelling, whatever path or port was typed with it."""
        try:
            self.origin = origin_of(self.origin.strip())
        except ValidationError as error:
            raise ValidationError({"origin": error.messages}) from None

    @property
    def owning_project_id(self) -> None:
        return None


class CredentialQuerySet(OwnedQuerySet["Credential"]):
    def visible_to(self, user: Person) -> Self:
        """To those who look after them; others use them through an LM profile, unseen."""
        if user.is_active and user.is_superuser:
            return self.all()
        return self.filter(project__in=Project.objects.owned_by(user))


class Credential(PublicId):
    """A key, for one host. Written by `services.store_credential`, and never shown again."""

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, null=True, blank=True, related_name="credentials"
    )
    name = models.CharField(max_length=100)
    # Protected: taking an approval back must not lose keys by the way.
    host = models.ForeignKey(ApprovedHost, on_delete=models.PROTECT, related_name="credentials")
    encrypted = models.BinaryField()
    last_characters = models.CharField(max_length=SHOWN, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    stored_at = models.DateTimeField(auto_now=True)

    objects = CredentialQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"], name="credential_name_in_its_project"
            ),
            models.UniqueConstraint(
                fields=["name"], condition=Q(project=None), name="credential_name_of_no_project"
            ),
            models.CheckConstraint(condition=~Q(name=""), name="credential_has_a_name"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.masked})"

    @property
    def masked(self) -> str:
        return f"••••{self.last_characters}"

    @property
    def owning_project_id(self) -> UUID | None:
        return self.project_id

    def keep(self, secret: str) -> None:
        """Take a secret on, encrypted for this row and host. Does not save."""
        # A short secret would be half told by its end.
        self.last_characters = secret[-SHOWN:] if len(secret) >= 4 * SHOWN else ""
        self.encrypted = encryption.encrypt(secret, context=self._context)

    def reveal(self, url: str) -> str:
        """The secret, for a request to `url`; HostNotApproved when it is for another host."""
        if origin_of(url) != self.host.origin:
            raise HostNotApproved(
                f"The credential '{self.name}' is for {self.host.origin} and goes nowhere else. "
                f"Store one for {origin_of(url)}."
            )
        return encryption.decrypt(bytes(self.encrypted), context=self._context)

    @property
    def _context(self) -> str:
        return f"{self.pk} {self.host.origin}"
