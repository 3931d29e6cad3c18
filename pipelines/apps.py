from django.apps import AppConfig
from django.db.backends.signals import connection_created


class PipelinesConfig(AppConfig):
    name = "pipelines"

    def ready(self) -> None:
        from pipelines.models.postgresql import take_nul

        connection_created.connect(take_nul)
