import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0002_gateway_limits_and_budgets"),
        ("runner", "0003_router_figures_and_tools"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PinnedOutput",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("node", models.CharField(max_length=63)),
                ("outputs", models.TextField(default="{}", help_text="JSON, by port.")),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ["pipeline", "node"],
            },
        ),
        migrations.AddField(
            model_name="run",
            name="deadline_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="partial",
            field=models.TextField(blank=True, default="", editable=False),
        ),
        migrations.AddField(
            model_name="run",
            name="pins",
            field=models.TextField(blank=True, default="", editable=False),
        ),
        migrations.AddField(
            model_name="run",
            name="stops",
            field=models.TextField(default="{}", editable=False),
        ),
        migrations.AddField(
            model_name="step",
            name="identity",
            field=models.CharField(blank=True, default="", editable=False, max_length=32),
        ),
        migrations.AddField(
            model_name="step",
            name="taken_from",
            field=models.CharField(blank=True, default="", max_length=36),
        ),
        migrations.AddIndex(
            model_name="step",
            index=models.Index(
                condition=models.Q(("identity", ""), _negated=True),
                fields=["identity"],
                name="steps_that_may_be_taken",
            ),
        ),
        migrations.AddField(
            model_name="pinnedoutput",
            name="author",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="pinned_outputs",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="pinnedoutput",
            name="pipeline",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="pinned_outputs",
                to="pipelines.pipeline",
            ),
        ),
        migrations.AddConstraint(
            model_name="pinnedoutput",
            constraint=models.UniqueConstraint(
                fields=("pipeline", "author", "node"), name="a_person_pins_a_node_once"
            ),
        ),
    ]
