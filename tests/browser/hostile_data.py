"""Run in the server's own Python (`manage.py shell`): everything that can bear a name bears markup."""

import json

from django.contrib.auth.models import User

from pipelines import services
from pipelines.graph.graph import Edge, Graph, Node
from pipelines.models import LMProfile

BAD = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'
ANSWER = json.dumps({"answer": BAD})
FAILURE = {"error": "invalid_request", "message": BAD}


def fields(name: str) -> dict[str, object]:
    return {"fields": [{"name": name, "type": "str"}]}


def graph(lm: str) -> Graph:
    return Graph.of(
        [
            Node(id="input", kind="input", label=BAD, config=fields("question")),
            Node(
                id="say",
                kind="predict",
                label=BAD,
                config={"signature": "question -> answer", "lm": lm, "instructions": BAD},
            ),
            Node(
                id="frame",
                kind="template",
                label=BAD,
                config={"template": BAD + "{{ answer }}"},
            ),
            Node(id="output", kind="output", label=BAD, config=fields("text")),
        ],
        [
            Edge(source="input", source_port="question", target="say", target_port="question"),
            Edge(source="say", source_port="answer", target="frame", target_port="answer"),
            Edge(source="frame", source_port="text", target="output", target_port="text"),
        ],
    )


def profile(name: str, answer: object) -> LMProfile:
    """The description of the model is markup, too."""
    settings = {"answers": [answer], "chunk_size": 7}
    parts = {"adapter": "scripted", "format": "json", "model": BAD, "settings": settings}
    made = LMProfile(project=project, name=name, **parts)
    return services.save_lm_profile(profile=made, user=admin)


admin = User.objects.get(username="admin")
admin.first_name, admin.last_name = BAD, "Oduya"
admin.save()
project = services.personal_project(user=admin)
project.name = BAD
project.save()
profiles = {
    name: profile(f"{name} {BAD}", text) for name, text in (("good", ANSWER), ("bad", FAILURE))
}
made = {
    name: services.create_pipeline(
        project=project, user=admin, name=f"{name} {BAD}", description=BAD, graph=graph(row.name)
    )
    for name, row in profiles.items()
}
signature = services.create_signature(project=project, user=admin, name=BAD, description=BAD)
services.new_signature_version(
    signature=signature, user=admin, text="question -> answer", instructions=BAD, note=BAD,
    descriptions={"answer": BAD},
)  # fmt: skip
collection = services.create_collection(project=project, user=admin, name=BAD, description=BAD)
services.replace_documents(
    collection=collection,
    user=admin,
    documents=[services.DocumentText(text=BAD, title=BAD, source_name=f"{BAD}.md")],
)
print(  # noqa: T201 (what the test reads)
    json.dumps(
        {
            "good": f"/pipelines/{made['good'].pk}/",
            "bad": f"/pipelines/{made['bad'].pk}/",
            "signature": f"/signatures/{signature.pk}/",
            "collection": f"/collections/{collection.pk}/",
            "profile": f"/lm-profiles/{profiles['good'].pk}/",
        }
    )
)
