from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("runner", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="answers",
            field=models.TextField(default="{}", editable=False),
        ),
    ]
