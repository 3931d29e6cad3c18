"""Every address of the site. The pages come with `pipelines.urls` and `runner.urls`."""

from django.contrib import admin
from django.urls import path

urlpatterns = [
    path("admin/", admin.site.urls),
]
