"""The admin's app, with our site in place of Django's. Apart from it: this is loaded before any model."""

from django.contrib.admin.apps import AdminConfig


class DSPexAdminConfig(AdminConfig):
    default_site = "dspex_site.admin_site.DSPexAdmin"
