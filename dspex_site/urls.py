"""Every address of the site. The runner's join when it has some."""

from importlib.util import find_spec

from django.contrib import admin
from django.urls import include, path

from dspex_site import sign_in, static_files

urlpatterns = [
    path("admin/", admin.site.urls),
    path("sign-in/", sign_in.sign_in, name="sign_in"),
    path("sign-out/", sign_in.sign_out, name="sign_out"),
    path("static/<path:path>", static_files.serve, name="static"),
    path("", include("pipelines.urls")),
]
if find_spec("runner.urls"):
    urlpatterns.append(path("", include("runner.urls")))
