import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import pipelines.models.public_id


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Project",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pipelines.models.public_id.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                (
                    "personal_of",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="personal_project",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["name"],
                "indexes": [models.Index(fields=["name"], name="pipelines_p_name_c17ade_idx")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("name", ""), _negated=True), name="project_has_a_name"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to="pipelines.project",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[("owner", "Owner"), ("editor", "Editor"), ("viewer", "Viewer")],
                        max_length=10,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["project", "user"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("project", "user"), name="one_role_in_a_project"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("role__in", ["owner", "editor", "viewer"])),
                        name="role_is_known",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="project",
            name="members",
            field=models.ManyToManyField(
                related_name="projects", through="pipelines.Membership", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.CreateModel(
            name="Pipeline",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pipelines.models.public_id.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="pipelines",
                        to="pipelines.project",
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("slug", models.SlugField(db_index=False, max_length=80)),
                ("description", models.TextField(blank=True, max_length=10000)),
                ("archived", models.BooleanField(default=False)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ["-updated_at"],
                "indexes": [
                    models.Index(
                        fields=["archived", "-updated_at"], name="pipelines_p_archive_50dfe7_idx"
                    ),
                    models.Index(
                        fields=["project", "archived", "-updated_at"],
                        name="pipelines_p_project_fa2a4b_idx",
                    ),
                    models.Index(fields=["name"], name="pipelines_p_name_93d874_idx"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("project", "slug"), name="slug_names_one_pipeline"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("name", ""), _negated=True), name="pipeline_has_a_name"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Draft",
            fields=[
                (
                    "pipeline",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="draft",
                        serialize=False,
                        to="pipelines.pipeline",
                    ),
                ),
                ("text", models.TextField()),
                ("revision", models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="OperationRecord",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "pipeline",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="operations",
                        to="pipelines.pipeline",
                    ),
                ),
                ("revision", models.PositiveIntegerField()),
                (
                    "operation_id",
                    models.UUIDField(help_text="Made by the client; a resend carries it again."),
                ),
                (
                    "author",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("operation", models.JSONField()),
                ("footprint", models.JSONField()),
                ("inverse", models.JSONField()),
                ("at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["pipeline", "-revision"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("pipeline", "revision"), name="one_operation_makes_a_revision"
                    ),
                    models.UniqueConstraint(
                        fields=("pipeline", "operation_id"), name="an_operation_is_applied_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("revision__gte", 1)), name="revisions_count_from_1"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PipelineVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pipelines.models.public_id.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "pipeline",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="versions",
                        to="pipelines.pipeline",
                    ),
                ),
                ("number", models.PositiveIntegerField(blank=True, null=True)),
                ("content_hash", models.CharField(max_length=64)),
                ("text", models.TextField()),
                ("note", models.CharField(blank=True, max_length=2000)),
                (
                    "author",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("published_at", models.DateTimeField(blank=True, null=True)),
                (
                    "published_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at"],
                "indexes": [
                    models.Index(
                        fields=["pipeline", "-created_at"], name="pipelines_p_pipelin_1a76d3_idx"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("pipeline", "content_hash"), name="one_version_for_a_content"
                    ),
                    models.UniqueConstraint(
                        fields=("pipeline", "number"), name="a_number_names_one_version"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("number__isnull", True), ("published_at__isnull", True)),
                            models.Q(("number__gte", 1), ("published_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="a_number_comes_with_publishing",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Reference",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "pipeline",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="references",
                        to="pipelines.pipeline",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="references",
                        to="pipelines.pipelineversion",
                    ),
                ),
                ("node", models.CharField(max_length=63)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("signature", "Signature"),
                            ("collection", "Collection"),
                            ("lm_profile", "LM profile"),
                        ],
                        max_length=20,
                    ),
                ),
                ("key", models.CharField(max_length=100)),
            ],
            options={
                "ordering": ["pipeline", "node"],
                "indexes": [
                    models.Index(fields=["kind", "key"], name="pipelines_r_kind_ad332c_idx")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("version__isnull", True)),
                        fields=("pipeline", "node", "kind"),
                        name="a_draft_node_names_one_of_a_kind",
                    ),
                    models.UniqueConstraint(
                        fields=("version", "node", "kind"),
                        name="a_version_node_names_one_of_a_kind",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["signature", "collection", "lm_profile"])),
                        name="reference_kind_is_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Signature",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pipelines.models.public_id.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="signatures",
                        to="pipelines.project",
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                ("description", models.TextField(blank=True, max_length=10000)),
                ("archived", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["name"],
                "indexes": [models.Index(fields=["name"], name="pipelines_s_name_ad7b10_idx")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("project", "name"), name="signature_name_in_its_project"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("project", None)),
                        fields=("name",),
                        name="signature_name_of_no_project",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("name", ""), _negated=True), name="signature_has_a_name"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SignatureVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pipelines.models.public_id.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "signature",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="versions",
                        to="pipelines.signature",
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("text", models.TextField(max_length=20000)),
                ("instructions", models.TextField(blank=True, max_length=100000)),
                ("descriptions", models.JSONField(blank=True, default=dict)),
                ("constraints", models.JSONField(blank=True, default=dict)),
                ("types", models.JSONField(blank=True, default=dict)),
                ("hash", models.CharField(max_length=64)),
                ("note", models.CharField(blank=True, max_length=2000)),
                (
                    "author",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["signature", "-number"],
                "indexes": [models.Index(fields=["hash"], name="pipelines_s_hash_116a05_idx")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("signature", "number"), name="a_number_names_one_signature_version"
                    ),
                    models.UniqueConstraint(
                        fields=("signature", "hash"), name="one_signature_version_for_a_content"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number__gte", 1)),
                        name="signature_versions_count_from_1",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Collection",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pipelines.models.public_id.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="collections",
                        to="pipelines.project",
                    ),
                ),
                ("name", models.CharField(help_text="What nodes call it.", max_length=100)),
                ("description", models.TextField(blank=True, max_length=10000)),
                (
                    "content_hash",
                    models.CharField(
                        default="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                        editable=False,
                        max_length=64,
                    ),
                ),
                ("document_count", models.PositiveIntegerField(default=0, editable=False)),
                ("byte_count", models.PositiveBigIntegerField(default=0, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ["name"],
                "indexes": [
                    models.Index(fields=["name"], name="pipelines_c_name_40f4d0_idx"),
                    models.Index(fields=["-updated_at"], name="pipelines_c_updated_7234ed_idx"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("project", "name"), name="collection_name_in_its_project"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("project", None)),
                        fields=("name",),
                        name="collection_name_of_no_project",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("name", ""), _negated=True),
                        name="collection_has_a_name",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Document",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pipelines.models.public_id.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "collection",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="documents",
                        to="pipelines.collection",
                    ),
                ),
                ("position", models.PositiveIntegerField()),
                ("title", models.CharField(blank=True, max_length=300)),
                ("text", models.TextField()),
                (
                    "source_name",
                    models.CharField(
                        blank=True,
                        help_text="The file it came from; shown, never opened.",
                        max_length=255,
                    ),
                ),
            ],
            options={
                "ordering": ["collection", "position"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("collection", "position"), name="one_document_at_a_position"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ApprovedHost",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pipelines.models.public_id.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "origin",
                    models.CharField(
                        help_text="Such as https://api.openai.com", max_length=255, unique=True
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["origin"],
            },
        ),
        migrations.CreateModel(
            name="Credential",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pipelines.models.public_id.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="credentials",
                        to="pipelines.project",
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                (
                    "host",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credentials",
                        to="pipelines.approvedhost",
                    ),
                ),
                ("encrypted", models.BinaryField()),
                ("last_characters", models.CharField(blank=True, editable=False, max_length=4)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("stored_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ["name"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("project", "name"), name="credential_name_in_its_project"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("project", None)),
                        fields=("name",),
                        name="credential_name_of_no_project",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("name", ""), _negated=True),
                        name="credential_has_a_name",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LMProfile",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pipelines.models.public_id.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="lm_profiles",
                        to="pipelines.project",
                    ),
                ),
                ("name", models.CharField(help_text="What nodes call it.", max_length=100)),
                (
                    "is_default",
                    models.BooleanField(
                        default=False, help_text="Taken by nodes that name none. One per project."
                    ),
                ),
                (
                    "adapter",
                    models.CharField(
                        choices=[
                            ("local", "Local"),
                            ("scripted", "Scripted"),
                            ("openai_compatible", "OpenAI-compatible"),
                        ],
                        max_length=30,
                    ),
                ),
                ("model", models.CharField(blank=True, max_length=200)),
                (
                    "base_url",
                    models.CharField(
                        blank=True,
                        help_text="On an approved host: https://api.example.com/v1",
                        max_length=2000,
                    ),
                ),
                (
                    "credential",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="lm_profiles",
                        to="pipelines.credential",
                    ),
                ),
                (
                    "format",
                    models.CharField(
                        choices=[("chat", "Chat"), ("json", "JSON"), ("compact", "Compact")],
                        default="chat",
                        max_length=10,
                    ),
                ),
                (
                    "structured",
                    models.BooleanField(
                        default=True, help_text="The provider can hold an answer to a JSON Schema."
                    ),
                ),
                (
                    "temperature",
                    models.FloatField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(2),
                        ],
                    ),
                ),
                (
                    "max_tokens",
                    models.PositiveIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000000),
                        ],
                    ),
                ),
                (
                    "concurrency",
                    models.PositiveIntegerField(
                        default=8,
                        help_text="Calls at a time.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                    ),
                ),
                (
                    "timeout",
                    models.FloatField(
                        default=120.0,
                        help_text="Seconds for one attempt.",
                        validators=[
                            django.core.validators.MinValueValidator(0.1),
                            django.core.validators.MaxValueValidator(86400),
                        ],
                    ),
                ),
                (
                    "retries",
                    models.PositiveIntegerField(
                        default=3,
                        help_text="After an outage.",
                        validators=[django.core.validators.MaxValueValidator(10)],
                    ),
                ),
                (
                    "input_price",
                    models.FloatField(
                        default=0.0,
                        help_text="US dollars per million tokens.",
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "output_price",
                    models.FloatField(
                        default=0.0,
                        help_text="US dollars per million tokens.",
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "settings",
                    models.JSONField(blank=True, default=dict, help_text="The adapter's own."),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "verbose_name": "LM profile",
                "ordering": ["name"],
                "indexes": [models.Index(fields=["name"], name="pipelines_l_name_62989b_idx")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("project", "name"), name="lm_profile_name_in_its_project"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("project", None)),
                        fields=("name",),
                        name="lm_profile_name_of_no_project",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("is_default", True)),
                        fields=("project",),
                        name="one_default_in_a_project",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("is_default", True), ("project", None)),
                        fields=("is_default",),
                        name="one_default_of_no_project",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("name", ""), _negated=True),
                        name="lm_profile_has_a_name",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("temperature", None), ("temperature__range", (0, 2)), _connector="OR"
                        ),
                        name="temperature_is_0_to_2",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("max_tokens", None),
                            ("max_tokens__range", (1, 1000000)),
                            _connector="OR",
                        ),
                        name="max_tokens_is_1_to_1000000",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("concurrency__range", (1, 1000))),
                        name="concurrency_is_1_to_1000",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("timeout__range", (0.1, 86400))),
                        name="timeout_is_up_to_a_day",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("retries__lte", 10)), name="retries_are_10_at_most"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("input_price__gte", 0), ("output_price__gte", 0)),
                        name="prices_are_not_negative",
                    ),
                ],
            },
        ),
    ]
