"""Addresses of the runner's sockets."""

from typing import Any, cast

from django.urls import path

from runner.consumers import LiveConsumer

# Django's `path` is typed for views; Channels' router takes its patterns all the same.
websocket_urlpatterns: list[Any] = [path("ws/live/", cast(Any, LiveConsumer.as_asgi()))]
