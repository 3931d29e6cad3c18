import logging
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_delete


class RunnerConfig(AppConfig):
    name = "runner"

    def ready(self) -> None:
        from runner.live.outage import OneLine  # needs models, which are loaded by now

        logging.getLogger("channels_redis.pubsub").addFilter(OneLine())
        post_delete.connect(_collection_deleted, sender="pipelines.Collection")


def _collection_deleted(sender: Any, instance: Any, **signal: Any) -> None:
    from runner.services import forget_with  # models are loaded by now

    forget_with(collection=instance)
