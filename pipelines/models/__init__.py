from pipelines.models.budget import Budget
from pipelines.models.collection import Collection, Document
from pipelines.models.credential import ApprovedHost, Credential
from pipelines.models.lm_profile import LMProfile
from pipelines.models.pipeline import (
    Draft,
    OperationRecord,
    Pipeline,
    PipelineVersion,
    Reference,
)
from pipelines.models.project import Membership, Person, Project, Role
from pipelines.models.signature import Signature, SignatureVersion

__all__ = [
    "ApprovedHost",
    "Budget",
    "Collection",
    "Credential",
    "Document",
    "Draft",
    "LMProfile",
    "Membership",
    "OperationRecord",
    "Person",
    "Pipeline",
    "PipelineVersion",
    "Project",
    "Reference",
    "Role",
    "Signature",
    "SignatureVersion",
]
