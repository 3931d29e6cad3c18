"""LM profiles, their credentials, and the hosts that both may name."""

import re

from django.db import transaction

from pipelines.models import ApprovedHost, Credential, LMProfile, Person, Project
from pipelines.models.errors import InvalidInput
from pipelines.permissions import Action, require

# What an HTTP header can carry, without spaces: a line break would start a header of its own.
_SECRET = re.compile(r"[!-~]{1,4000}\Z")


def approve_host(*, user: Person, origin: str, note: str = "") -> ApprovedHost:
    """Let the gateway call an origin; an address is cut down to its origin."""
    require(user, Action.APPROVE_HOSTS, None)
    host = ApprovedHost(origin=origin, note=note)
    host.full_clean()
    host.save()
    return host


def store_credential(
    *,
    project: Project | None,
    user: Person,
    name: str,
    host: ApprovedHost,
    secret: str,
) -> Credential:
    """Keep a key for one host, encrypted. Under a name that is there already, the key and host are
    replaced. Nothing that is raised holds the key."""
    require(user, Action.MANAGE_CREDENTIALS, project)
    name, secret = name.strip(), secret.strip()
    if not _SECRET.match(secret):
        raise InvalidInput(
            "A key has up to 4,000 letters, digits and signs, without spaces or line breaks. "
            "Copy it again from where you got it."
        )
    with transaction.atomic():
        credential = (
            Credential.objects.select_for_update().filter(project=project, name=name).first()
        )
        if credential is None:
            credential = Credential(project=project, name=name, created_by_id=user.pk)
        _check_profiles_follow(credential, host)
        credential.host = host
        credential.keep(secret)
        credential.full_clean()
        credential.save()
    return credential


def save_lm_profile(*, profile: LMProfile, user: Person) -> LMProfile:
    """Check and save a profile; a change raises its revision. Raises ValidationError by field."""
    require(user, Action.MANAGE_LM_PROFILES, profile)
    with transaction.atomic():
        if not profile._state.adding:
            stored = LMProfile.objects.select_for_update().get(pk=profile.pk)
            require(user, Action.MANAGE_LM_PROFILES, stored)  # it may have been another project's
        profile.full_clean()
        profile.save()
    return profile


def key_for_calls(*, profile: LMProfile, user: Person) -> str:
    """The profile's key, for calls that are made on this person's behalf; empty if it needs none.

    Raises NotAllowed, HostNotApproved when the approval was taken back or the key is for another
    host, and CredentialUnreadable.
    """
    require(user, Action.USE_CREDENTIAL, profile)
    if profile.base_url:
        ApprovedHost.objects.of(profile.base_url)
    if profile.credential is None:
        return ""
    if profile.credential.project_id != profile.project_id:
        raise InvalidInput(f"LM profile '{profile}' has a credential of another project.")
    return profile.credential.reveal(profile.base_url)


def _check_profiles_follow(credential: Credential, host: ApprovedHost) -> None:
    """A key that moves to another host would leave its profiles without one."""
    if credential._state.adding or credential.host == host:
        return
    if names := list(credential.lm_profiles.values_list("name", flat=True)[:5]):
        raise InvalidInput(
            f"The credential '{credential.name}' is for {credential.host}, and LM profiles use it "
            f"there: {', '.join(names)}. Store the key for {host} under another name."
        )
