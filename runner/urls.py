"""The runner's pages."""

from django.urls import path

from runner.views import (
    answers,
    collections,
    doctor,
    dspy_modules,
    lm_profiles,
    metrics,
    panel,
    pipeline_figures,
    response_cache,
    router,
    run_list,
    runs,
    steps,
    workers,
)

app_name = "runner"
urlpatterns = [
    path("runs/", run_list.run_list, name="runs"),
    path("runs/lines/", run_list.run_lines, name="run_lines"),
    path("runs/several/", run_list.several, name="several"),
    path("runs/<uuid:pk>/", runs.run, name="run"),
    path("runs/<uuid:pk>/since/", runs.since, name="since"),
    path("runs/<uuid:pk>/step/", steps.step, name="step"),
    path("runs/<uuid:pk>/value/", steps.value, name="value"),
    path("runs/<uuid:pk>/cancel/", runs.cancel, name="cancel"),
    path("runs/<uuid:pk>/resume/", runs.resume, name="resume"),
    path("runs/<uuid:pk>/answer/", answers.answer, name="answer"),
    path("runs/<uuid:pk>/repeat/", runs.repeat, name="repeat"),
    path("pipelines/<uuid:pk>/panel/", panel.panel, name="panel"),
    path("pipelines/<uuid:pk>/start/", panel.start, name="start"),
    path("pipelines/<uuid:pk>/nodes/<slug:node_id>/last/", steps.step_preview, name="step_preview"),
    path("pipelines/figures/", pipeline_figures.pipeline_figures, name="pipeline_figures"),
    path("collections/docs/", collections.docs, name="docs"),
    path("collections/docs/search/", collections.search_docs, name="search_docs"),
    path(
        "collections/docs/documents/<int:position>/",
        collections.docs_document,
        name="docs_document",
    ),
    path("collections/<uuid:pk>/search/", collections.search, name="search"),
    path("workers/", workers.workers, name="workers"),
    path("doctor/", doctor.doctor, name="doctor"),
    path("router/", router.router, name="router"),
    path("router/settings/", router.settings, name="router_settings"),
    path("router/<uuid:pk>/pin/", router.pin, name="router_pin"),
    path("router/<uuid:pk>/reset/", router.reset, name="router_reset"),
    path("dspy-modules/", dspy_modules.modules, name="dspy_modules"),
    path(
        "pipelines/<uuid:pk>/nodes/<slug:node_id>/module/",
        dspy_modules.of_node,
        name="module_of_node",
    ),
    path(
        "pipelines/<uuid:pk>/nodes/<slug:node_id>/module/check/",
        dspy_modules.check_option,
        name="check_option",
    ),
    path("metrics", metrics.metrics, name="metrics"),
    path("response-cache/", response_cache.held, name="response_cache"),
    path("response-cache/<uuid:pk>/clear/", response_cache.clear, name="clear_response_cache"),
    path("lm-profiles/<uuid:pk>/test/", lm_profiles.test, name="test_lm_profile"),
]
