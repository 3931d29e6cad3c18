"""Addresses of the pages of pipelines and of what belongs to them."""

from django.urls import path

from pipelines.views import (
    collections,
    editor,
    goto,
    home,
    inspector,
    lm_profiles,
    pipeline_list,
    signatures,
)

app_name = "pipelines"
urlpatterns = [
    path("", home.home, name="home"),
    path("templates/", home.gallery, name="gallery"),
    path("goto/", goto.goto, name="goto"),
    path("pipelines/", pipeline_list.pipeline_list, name="list"),
    path("pipelines/new/", pipeline_list.new, name="new"),
    path("pipelines/import/", pipeline_list.import_file, name="import"),
    path("pipelines/<uuid:pk>/", editor.editor, name="editor"),
    path("pipelines/<uuid:pk>/copy/", pipeline_list.copy, name="copy"),
    path("pipelines/<uuid:pk>/rename/", pipeline_list.rename, name="rename"),
    path("pipelines/<uuid:pk>/archive/", pipeline_list.archive, name="archive"),
    path("pipelines/<uuid:pk>/export/", pipeline_list.export, name="export"),
    path("pipelines/<uuid:pk>/graph/", editor.graph, name="graph"),
    path("pipelines/<uuid:pk>/operations/", editor.operations, name="operations"),
    path("pipelines/<uuid:pk>/copy-with/", editor.copy_with, name="copy_with"),
    path("pipelines/<uuid:pk>/inspector/", inspector.whole, name="inspector"),
    path("pipelines/<uuid:pk>/nodes/<slug:node_id>/", inspector.node, name="node"),
    path("pipelines/<uuid:pk>/nodes/<slug:node_id>/check/", inspector.check, name="check"),
    path("signatures/", signatures.signature_list, name="signatures"),
    path("signatures/new/", signatures.new, name="new_signature"),
    path("signatures/parse/", signatures.parse, name="parse_signature"),
    path("signatures/<uuid:pk>/", signatures.signature, name="signature"),
    path("signatures/<uuid:pk>/versions/", signatures.new_version, name="new_signature_version"),
    path("collections/", collections.collection_list, name="collections"),
    path("collections/new/", collections.new, name="new_collection"),
    path("collections/<uuid:pk>/", collections.collection, name="collection"),
    path("collections/<uuid:pk>/upload/", collections.upload, name="upload"),
    path("lm-profiles/", lm_profiles.profile_list, name="lm_profiles"),
    path("lm-profiles/new/", lm_profiles.new, name="new_lm_profile"),
    path("lm-profiles/credentials/new/", lm_profiles.new_credential, name="new_credential"),
    path("lm-profiles/<uuid:pk>/", lm_profiles.profile, name="lm_profile"),
]
