"""What Daphne serves: pages and sockets."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application

from dspex_site.origin import OriginCheck

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dspex_site.settings")

pages = get_asgi_application()

# Imports models, so after Django is set up.
from runner.routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": pages,
        "websocket": OriginCheck(
            AuthMiddlewareStack(URLRouter(websocket_urlpatterns)),
            origins=settings.ORIGINS,
            hosts=settings.ALLOWED_HOSTS,
        ),
    }
)
