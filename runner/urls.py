"""The runner's pages."""

from django.urls import path

from runner.views import lm_profiles, panel, pipeline_figures, runs, steps, workers

app_name = "runner"
urlpatterns = [
    path("runs/", runs.run_list, name="runs"),
    path("runs/<uuid:pk>/", runs.run, name="run"),
    path("runs/<uuid:pk>/since/", runs.since, name="since"),
    path("runs/<uuid:pk>/step/", steps.step, name="step"),
    path("runs/<uuid:pk>/cancel/", runs.cancel, name="cancel"),
    path("runs/<uuid:pk>/resume/", runs.resume, name="resume"),
    path("runs/<uuid:pk>/repeat/", runs.repeat, name="repeat"),
    path("pipelines/<uuid:pk>/panel/", panel.panel, name="panel"),
    path("pipelines/<uuid:pk>/start/", panel.start, name="start"),
    path("pipelines/<uuid:pk>/nodes/<slug:node_id>/last/", steps.step_preview, name="step_preview"),
    path("pipelines/figures/", pipeline_figures.pipeline_figures, name="pipeline_figures"),
    path("workers/", workers.workers, name="workers"),
    path("lm-profiles/<uuid:pk>/test/", lm_profiles.test, name="test_lm_profile"),
]
