"""Every write that touches more than one row or that others are told of. Keyword-only functions, each
of which asks `permissions.can` itself: no caller can forget to."""

from pipelines.services.budgets import set_budget
from pipelines.services.conflicts import Conflict, Refused
from pipelines.services.documents import DocumentText, create_collection, replace_documents
from pipelines.services.edits import Applied, apply_operation, operation_applied, undo
from pipelines.services.lm_profiles import (
    approve_host,
    key_for_calls,
    save_lm_profile,
    store_credential,
)
from pipelines.services.pipelines import (
    archive_pipeline,
    copy_pipeline,
    create_pipeline,
    import_pipeline,
)
from pipelines.services.programs import Imported, import_program
from pipelines.services.projects import (
    create_project,
    delete_project,
    personal_project,
    remove_member,
    set_role,
)
from pipelines.services.references import Resolved, pinned_config, resolve_references
from pipelines.services.restoring import restore
from pipelines.services.signatures import create_signature, new_signature_version
from pipelines.services.versions import (
    NotPublishable,
    freeze_version,
    graph_at,
    problems_of,
    publish_version,
)

__all__ = [
    "Applied",
    "Conflict",
    "DocumentText",
    "Imported",
    "NotPublishable",
    "Refused",
    "Resolved",
    "apply_operation",
    "approve_host",
    "archive_pipeline",
    "copy_pipeline",
    "create_collection",
    "create_pipeline",
    "create_project",
    "create_signature",
    "delete_project",
    "freeze_version",
    "graph_at",
    "import_pipeline",
    "import_program",
    "key_for_calls",
    "new_signature_version",
    "operation_applied",
    "personal_project",
    "pinned_config",
    "problems_of",
    "publish_version",
    "remove_member",
    "replace_documents",
    "resolve_references",
    "restore",
    "save_lm_profile",
    "set_budget",
    "set_role",
    "store_credential",
    "undo",
]
