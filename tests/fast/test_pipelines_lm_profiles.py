import json
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from django.core import serializers
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError, RestrictedError

from pipelines import services
from pipelines.models import ApprovedHost, Credential, LMProfile
from pipelines.models.credential import origin_of
from pipelines.models.errors import CredentialUnreadable, HostNotApproved, InvalidInput
from pipelines.permissions import NotAllowed
from runner.lm import types
from tests.people import SECRET, People, credential_of, host, people, pipeline_of, profile_of

pytestmark = pytest.mark.django_db

URL = "https://api.example.com/v1"


@pytest.fixture
def who() -> People:
    return people()


def remote(who: People, **parts: Any) -> LMProfile:
    host()
    return profile_of(who, adapter="openai_compatible", base_url=URL, **parts)


def test_a_profile_has_every_field_that_the_gateway_takes() -> None:
    wanted = {field.name for field in msgspec.structs.fields(types.LMProfile)}
    wanted -= {"api_key", "private_network"}  # from the credential, and from the approved host
    assert wanted <= {field.name for field in LMProfile._meta.get_fields()}
    hints = get_type_hints(types.LMProfile)
    assert set(LMProfile.Adapter.values) == set(get_args(types.AdapterName.__value__))
    assert set(LMProfile.Format.values) == set(get_args(hints["format"]))


def test_every_change_raises_the_revision(who: People) -> None:
    profile = profile_of(who)
    assert profile.revision == 1
    profile.temperature = 0.5
    services.save_lm_profile(profile=profile, user=who.owner)
    profile.save(update_fields=["model"])
    profile.refresh_from_db()
    assert (profile.revision, profile.temperature) == (3, 0.5)


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"concurrency": 0}, "concurrency"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"tokens_per_minute": 0}, "tokens_per_minute"),
        ({"connect_timeout": 0}, "connect_timeout"),
        ({"first_token_timeout": float("inf")}, "first_token_timeout"),
        ({"cached_input_price": -1}, "cached_input_price"),
        ({"concurrency": 1_001}, "concurrency"),
        ({"timeout": 0}, "timeout"),
        ({"retries": 11}, "retries"),
        ({"input_price": -1}, "input_price"),
        ({"adapter": "pickle"}, "adapter"),
        ({"format": "xml"}, "format"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"settings": []}, "settings"),
        ({"settings": {"extra": {"API-Key": "sk"}}}, "settings"),
        ({"settings": {"extra": [{"api_base": "http://x"}]}}, "settings"),
        ({"settings": {"a": "x" * 100_001}}, "settings"),
        ({"base_url": URL}, "base_url"),
        ({"adapter": "openai_compatible"}, "base_url"),
        ({"adapter": "anthropic"}, "base_url"),
        ({"adapter": "litellm"}, "base_url"),
        ({"adapter": "instructor"}, "base_url"),
        ({"adapter": "instructor", "settings": {"over": "scripted"}, "base_url": URL}, "base_url"),
    ],
)
def test_a_field_out_of_range_is_named(who: People, parts: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        profile_of(who, **parts)
    assert field in caught.value.message_dict
    assert not LMProfile.objects.exists()


@pytest.mark.parametrize(
    "parts", [{"temperature": 3}, {"concurrency": 0}, {"retries": 11}, {"output_price": -1}]
)
def test_the_database_holds_the_ranges_too(who: People, parts: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        LMProfile.objects.create(project=who.project, name="x", adapter="local", **parts)


def test_a_project_has_one_default(who: People) -> None:
    profile_of(who, is_default=True)
    profile_of(who, project=None, is_default=True)
    for project in (who.project, None):
        with pytest.raises(ValidationError):
            profile_of(who, project=project, name="second", is_default=True)


def test_a_node_without_a_name_gets_the_projects_default_then_everybodys(who: People) -> None:
    shared = profile_of(who, project=None, name="shared", is_default=True)
    assert LMProfile.objects.named(who.project, None) == shared
    own = profile_of(who, is_default=True)
    assert LMProfile.objects.named(who.project, None) == own
    assert LMProfile.objects.named(who.project, "shared") == shared
    assert LMProfile.objects.named(who.project, "nowhere") is None


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://API.Example.com:443/v1", "https://api.example.com"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:80/v1", "http://[::1]"),
        ("https://example.com./v1", "https://example.com"),
    ],
)
def test_an_address_has_one_origin(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "file:///etc/passwd",
        "gopher://x",
        "https://api.example.com@evil.example/",
        "https://evil.example\\@api.example.com",
        "https://api.example.com:port",
        "https://аpi.example.com",
        "https://api.example.com /",
        "https://[::1",
    ],
)
def test_what_hides_where_it_leads_is_no_address(url: str) -> None:
    with pytest.raises(ValidationError):
        origin_of(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com.evil.example/v1",
        "http://api.example.com/v1",
        "https://api.example.com:8443/v1",
        "http://169.254.169.254/latest",
    ],
)
def test_only_approved_hosts_are_called(who: People, url: str) -> None:
    host()
    with pytest.raises(ValidationError, match="not an approved host"):
        profile_of(who, adapter="openai_compatible", base_url=url)


def test_administrators_approve_hosts(who: People) -> None:
    approved = services.approve_host(user=who.superuser, origin=URL)
    assert approved.origin == "https://api.example.com"
    with pytest.raises(NotAllowed):
        services.approve_host(user=who.owner, origin="https://evil.example")


def test_a_key_is_encrypted_and_only_its_end_is_kept(who: People) -> None:
    credential = credential_of(who)
    assert str(credential) == "Provider (••••abcd)"
    with connection.cursor() as cursor:
        stored = str(cursor.execute("SELECT * FROM pipelines_credential").fetchall())
    assert SECRET not in stored and SECRET[:-4] not in stored
    assert SECRET not in serializers.serialize("json", [credential])
    assert SECRET not in repr(vars(credential))
    assert credential_of(who, secret="another-one-0123456789").encrypted != credential.encrypted


def test_a_short_key_is_not_half_told(who: People) -> None:
    assert credential_of(who, secret="0123456789").last_characters == ""


def test_a_key_comes_out_for_its_own_host_only(who: People) -> None:
    credential = credential_of(who)
    assert credential.reveal(URL) == SECRET
    for url in ("https://evil.example", "http://api.example.com", "https://api.example.com:1"):
        with pytest.raises(HostNotApproved, match=r"goes nowhere else\. Store one for"):
            credential.reveal(url)


def test_a_key_moved_to_another_row_or_host_cannot_be_read(who: People) -> None:
    mine, other = credential_of(who), credential_of(who, name="Other")
    evil = host("https://evil.example")
    Credential.objects.filter(pk=mine.pk).update(host=evil)
    Credential.objects.filter(pk=other.pk).update(encrypted=mine.encrypted)
    for credential, url in ((mine, evil.origin), (other, URL)):
        credential.refresh_from_db()
        with pytest.raises(CredentialUnreadable, match="Enter it again"):
            credential.reveal(url)


def test_keys_outlive_a_change_of_the_secret_key(who: People, settings: Any) -> None:
    credential = credential_of(who)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", [settings.SECRET_KEY]
    assert credential.reveal(URL) == SECRET
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(CredentialUnreadable):
        credential.reveal(URL)
    settings.CREDENTIAL_KEYS = ["a key of its own"]
    credential_of(who)
    settings.SECRET_KEY = "changed again"
    assert Credential.objects.get().reveal(URL) == SECRET


@pytest.mark.parametrize("secret", ["", "  ", "a b", "sk\r\nX-Evil: 1", "schlüssel", "x" * 4_001])
def test_what_no_header_can_carry_is_no_key(who: People, secret: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        credential_of(who, secret=secret)
    assert not secret.strip() or secret not in str(caught.value)


def test_a_key_is_replaced_under_its_name(who: People) -> None:
    first = credential_of(who)
    second = credential_of(who, secret="sk-replaced-0123456789")
    assert (second.pk, second.reveal(URL)) == (first.pk, "sk-replaced-0123456789")


def test_a_key_in_use_does_not_move_to_another_host(who: People) -> None:
    remote(who, credential=credential_of(who))
    with pytest.raises(InvalidInput, match="LM profiles use it there: fast"):
        services.store_credential(
            project=who.project,
            user=who.owner,
            name="Provider",
            host=host("https://b.example"),
            secret=SECRET,
        )


def test_a_profile_takes_keys_of_its_project_and_host_only(who: People) -> None:
    credential = credential_of(who)
    with pytest.raises(ValidationError, match="its own project"):
        remote(who, project=None, credential=credential)
    other = host("https://b.example")
    with pytest.raises(ValidationError, match=r"for https://api\.example\.com, not for"):
        profile_of(who, adapter="openai_compatible", base_url=other.origin, credential=credential)


def test_an_editor_calls_with_a_key_that_they_cannot_see(who: People) -> None:
    profile = remote(who, credential=credential_of(who))
    assert services.key_for_calls(profile=profile, user=who.editor) == SECRET
    assert not Credential.objects.visible_to(who.editor).exists()
    with pytest.raises(NotAllowed):
        services.key_for_calls(profile=profile, user=who.viewer)


def test_an_approval_that_was_taken_back_counts_at_once(who: People) -> None:
    profile = remote(who)
    assert services.key_for_calls(profile=profile, user=who.owner) == ""
    ApprovedHost.objects.all().delete()
    with pytest.raises(HostNotApproved):
        services.key_for_calls(profile=profile, user=who.owner)


def test_a_profile_is_not_moved_out_of_a_project_of_others(who: People) -> None:
    profile = profile_of(who)
    profile.project = services.personal_project(user=who.outsider)
    with pytest.raises(NotAllowed):
        services.save_lm_profile(profile=profile, user=who.outsider)


def test_keys_and_approvals_in_use_are_not_deleted_by_the_way(who: People) -> None:
    credential = credential_of(who)
    remote(who, credential=credential)
    with pytest.raises(RestrictedError):
        credential.delete()
    with pytest.raises(ProtectedError):
        host().delete()


def test_a_key_is_in_nothing_that_leaves_the_project(who: People) -> None:
    remote(who, credential=credential_of(who))
    pipeline = pipeline_of(who)
    copy = services.copy_pipeline(pipeline=pipeline, user=who.owner)
    version = services.freeze_version(pipeline=pipeline, user=who.owner)
    assert SECRET not in json.dumps([copy.draft.text, version.text])


def test_instructor_has_an_address_when_what_it_stands_over_has_one(who: People) -> None:
    profile_of(who, name="a", adapter="instructor", settings={"over": "scripted"})
    host()
    profile_of(who, name="b", adapter="instructor", base_url=URL, credential=credential_of(who))


def test_switching_the_adapter_changes_nothing_else(who: People) -> None:
    profile = remote(who, credential=credential_of(who), tokens_per_minute=9)
    before = {f.name: getattr(profile, f.name) for f in LMProfile._meta.concrete_fields}
    profile.adapter = "anthropic"
    services.save_lm_profile(profile=profile, user=who.owner)
    profile.refresh_from_db()
    changed = {name for name, value in before.items() if getattr(profile, name) != value}
    assert changed == {"adapter", "revision", "updated_at"}
