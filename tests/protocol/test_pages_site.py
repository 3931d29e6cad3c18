"""Signing in, static files, and what templates draw."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.template import Context, Template
from django.test import Client
from django.utils import timezone

from dspex_site import look
from runner.services import sign_in_token


@pytest.fixture
def stranger() -> Client:
    return Client(headers={"host": "localhost"})


# Signing in


@pytest.fixture
def data(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path


@pytest.mark.django_db
def test_a_name_and_a_password_sign_in(stranger: Client) -> None:
    User.objects.create_user("jo", password="for tests only")
    data = {"username": "jo", "password": "for tests only", "next": "/signatures/"}
    assert stranger.post("/sign-in/", data)["Location"] == "/signatures/"
    assert stranger.get("/signatures/").status_code == 200


@pytest.mark.django_db
def test_a_wrong_password_is_said_without_saying_who_exists(stranger: Client) -> None:
    User.objects.create_user("jo", password="for tests only")
    pages = [
        stranger.post("/sign-in/", {"username": name, "password": "wrong"}) for name in ("jo", "no")
    ]
    assert [page.status_code for page in pages] == [422, 422]
    first, second = (page.content.decode().partition('role="alert"')[2][:300] for page in pages)
    assert first == second


@pytest.mark.django_db
@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "javascript:x"])
def test_signing_in_leads_to_no_other_site(stranger: Client, wanted: str) -> None:
    User.objects.create_user("jo", password="for tests only")
    data = {"username": "jo", "password": "for tests only", "next": wanted}
    assert stranger.post("/sign-in/", data)["Location"] == "/"


@pytest.mark.django_db
def test_a_token_signs_in_once(stranger: Client, data: None) -> None:
    token = sign_in_token(user=User.objects.create(username="jo"))
    address = f"/sign-in/?token={token}"
    assert stranger.get(address).status_code == 200
    assert "_auth_user_id" not in stranger.session  # opening the address alone does nothing
    assert stranger.post(address)["Location"] == "/"
    other = Client(headers={"host": "localhost"})
    assert other.post(address).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize("token", ["", "x", "[]", "null", "..%2f..%2fsecret_key", "%00"])
def test_what_is_no_token_signs_nobody_in(stranger: Client, data: None, token: str) -> None:
    assert stranger.post(f"/sign-in/?token={token}").status_code == 403


@pytest.mark.django_db
def test_signing_out_ends_the_session_and_needs_a_post(stranger: Client) -> None:
    stranger.force_login(User.objects.create(username="jo"))
    assert stranger.get("/sign-out/").status_code == 405
    stranger.post("/sign-out/")
    assert stranger.get("/signatures/")["Location"] == "/sign-in/?next=/signatures/"


# Static files


ADMINS = "/static/admin/css/base.css"


def test_a_static_file_is_kept_for_good_under_its_version(stranger: Client) -> None:
    plain, versioned = stranger.get(ADMINS), stranger.get(ADMINS, {"v": "1"})
    assert plain["Cache-Control"] == "no-cache"
    assert "immutable" in versioned["Cache-Control"]
    assert plain["Content-Type"] == "text/css"


def test_a_static_file_is_compressed_for_those_who_can_read_it(stranger: Client) -> None:
    response = stranger.get(ADMINS, headers={"Accept-Encoding": "gzip"})
    assert response["Content-Encoding"] == "gzip"
    assert len(response.content) < len(stranger.get(ADMINS).content)


@pytest.mark.parametrize(
    "path", ["..%2f..%2fdspex_site%2fsettings.py", "admin%2f", "admin", "no.js", "%00", "a/../../x"]
)
def test_nothing_but_static_files_is_served(stranger: Client, path: str) -> None:
    assert stranger.get(f"/static/{path}").status_code in (400, 404)


def test_an_address_names_the_content() -> None:
    text = Template("{% load static %}{% static 'admin/css/base.css' %}").render(Context())
    assert finders.find("admin/css/base.css")
    assert text.startswith("/static/admin/css/base.css?v=")


def test_what_is_not_built_yet_has_an_address_too() -> None:
    text = Template("{% load static %}{% static 'not-built.js' %}").render(Context())
    assert text == "/static/not-built.js"


# What templates draw


@pytest.mark.parametrize(("seconds", "said"), [(5, "now"), (300, "5 min ago"), (400 * 86_400, str)])
def test_a_date_is_worded(seconds: int, said: object) -> None:
    text = look.when(timezone.now() - timedelta(seconds=seconds))
    assert text == said if isinstance(said, str) else text[-4:].isdigit()


@pytest.mark.parametrize(
    ("text", "drawn"),
    [("no `flaot` here", "no <code>flaot</code> here"), ("`<b>`", "<code>&lt;b&gt;</code>")],
)
def test_code_in_a_message_is_marked_and_nothing_else(text: str, drawn: str) -> None:
    assert look.coded(text) == drawn


def test_initials_are_two_letters() -> None:
    named = User(username="jo", first_name="Jo", last_name="Oduya")
    assert (look.initials(named), look.initials(User(username="maya"))) == ("JO", "MA")
