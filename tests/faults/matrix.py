"""The kill matrix: who dies, when, and what was running. Each case leaves the same end as a run that nothing
happened to, no result twice, and nothing paid twice that the database had."""

from tests.faults import deaths, effects, endings, storage
from tests.faults.stage import Case, between, first_call, queued, second_call

CASES = (
    Case(
        who="runner",
        what="native step",
        when="as it is claimed",
        try_=deaths.kill_runner("native", queued),
    ),
    Case(
        who="runner",
        what="native step",
        when="in its 1st call",
        try_=deaths.kill_runner("native", first_call),
    ),
    Case(
        who="runner",
        what="native step",
        when="in its 2nd call",
        try_=deaths.kill_runner("native", second_call),
        quick=True,
    ),
    Case(
        who="runner",
        what="native step",
        when="as one ended",
        try_=deaths.kill_runner("native", between),
    ),
    Case(
        who="runner",
        what="DSPy step",
        when="in its 1st call",
        try_=deaths.kill_runner("dspy", first_call),
    ),
    Case(
        who="runner",
        what="DSPy step",
        when="in its 2nd call",
        try_=deaths.kill_runner("dspy", second_call),
    ),
    Case(
        who="runner",
        what="map",
        when="in its 2nd item",
        try_=deaths.kill_runner("map", second_call),
    ),
    Case(
        who="runner",
        what="sub-pipelines in a map",
        when="in a 2nd call",
        try_=deaths.kill_runner("sub-pipelines", second_call),
    ),
    Case(
        who="runner",
        what="loop",
        when="in its 2nd round",
        try_=deaths.kill_runner("loop", second_call),
    ),
    Case(who="runner", what="BestOfN", when="in its 2nd candidate", try_=deaths.kill_best_of_n),
    Case(
        who="runner, 3 times",
        what="native step",
        when="in a call, as resumed",
        try_=deaths.kill_again("native", second_call),
    ),
    Case(
        who="runner, 3 times",
        what="DSPy step",
        when="in a call, as resumed",
        try_=deaths.kill_again("dspy", second_call),
    ),
    Case(who="runner", what="approve", when="while it waits", try_=effects.kill_while_waiting),
    Case(
        who="runner",
        what="http_request, never",
        when="in it; it happened",
        try_=effects.kill_in_request("happened"),
        quick=True,
    ),
    Case(
        who="runner",
        what="http_request, never",
        when="in it; again",
        try_=effects.kill_in_request("again"),
    ),
    Case(
        who="runner",
        what="http_request, never",
        when="in it; failed",
        try_=effects.kill_in_request("failed"),
    ),
    Case(
        who="runner",
        what="http_request, PUT",
        when="in it",
        try_=effects.kill_in_idempotent_request,
    ),
    Case(
        who="runner",
        what="tool of ReAct",
        when="in it; it happened",
        try_=effects.kill_in_tool("happened"),
    ),
    Case(
        who="runner",
        what="tool of ReAct",
        when="in it; failed",
        try_=effects.kill_in_tool("failed"),
    ),
    Case(
        who="runner, twice",
        what="tool of ReAct",
        when="in it; again",
        try_=effects.kill_twice_in_tool,
    ),
    Case(
        who="runner",
        what="tool that was let",
        when="in it; it happened",
        try_=effects.kill_in_approved_tool,
    ),
    Case(
        who="runner, stopped",
        what="native step",
        when="in its 1st call",
        try_=deaths.stop_runner,
        quick=True,
    ),
    Case(
        who="runner, SIGTERM", what="native step", when="in its 2nd call", try_=deaths.stop_politely
    ),
    Case(
        who="web and runner",
        what="native step",
        when="in its 2nd call",
        try_=deaths.kill_whole("native", second_call),
    ),
    Case(
        who="web and runner",
        what="DSPy step",
        when="in its 1st call",
        try_=deaths.kill_whole("dspy", first_call),
    ),
    Case(who="web", what="native step", when="in its 1st call", try_=deaths.kill_web),
    Case(
        who="worker",
        what="DSPy step",
        when="in its 2nd call",
        try_=deaths.kill_worker("dspy"),
        quick=True,
    ),
    Case(
        who="worker", what="DSPy step, never", when="in its 1st call", try_=deaths.kill_worker_once
    ),
    Case(who="worker", what="tool of ReAct", when="in it", try_=effects.kill_worker_in_tool),
    Case(who="spare workers", what="DSPy step", when="before it", try_=deaths.kill_spares),
    Case(who="forkserver", what="DSPy step", when="in its 2nd call", try_=deaths.kill_forkserver),
    Case(
        who="local model",
        what="local-model step",
        when="as it loads or writes",
        try_=deaths.kill_local_model,
    ),
    Case(
        who="database, 10 s",
        what="native step",
        when="in its 2nd call",
        try_=storage.lock_database("native", 2),
    ),
    Case(
        who="database, 10 s",
        what="map",
        when="in its 2nd item",
        try_=storage.lock_database("map", 2),
    ),
    Case(who="disk full", what="native steps", when="as they are recorded", try_=storage.fill_disk),
    Case(
        who="provider cuts",
        what="native step",
        when="in each answer",
        try_=storage.break_connections,
    ),
    Case(who="manage.py prune", what="native step", when="as it deletes", try_=storage.kill_prune),
    Case(who="runner", what="DSPy step", when="as its project goes", try_=storage.delete_project),
    Case(
        who="a person stops",
        what="native step",
        when="in its 1st call",
        try_=endings.cancel("native", first_call),
    ),
    Case(
        who="a person stops",
        what="DSPy step",
        when="in its 1st call",
        try_=endings.cancel("dspy", first_call),
    ),
    Case(
        who="a person stops",
        what="map",
        when="in its 2nd item",
        try_=endings.cancel("map", second_call),
    ),
    Case(who="a deadline", what="map", when="in its 1st items", try_=endings.pass_deadline),
)
