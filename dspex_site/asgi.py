"""What Daphne serves. WebSockets join with the first page that has one."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dspex_site.settings")

application = get_asgi_application()
