from typing import Any

from django.db import migrations

from runner.models.bytes import Bytes


def measure(apps: Any, schema_editor: Any) -> None:
    apps.get_model("runner", "CachedAnswer").objects.filter(size=0).update(size=Bytes("value"))


class Migration(migrations.Migration):
    dependencies = [("runner", "0007_sizes_of_what_is_kept")]

    operations = [migrations.RunPython(measure, migrations.RunPython.noop)]
