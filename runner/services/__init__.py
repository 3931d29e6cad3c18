"""Every write on runs that people ask for. Keyword-only functions, each of which asks
`permissions.can` itself: no caller can forget to."""

from runner.services.answers import answer_step, run_answered
from runner.services.budgets import budgets_of
from runner.services.decisions import decide_step, decided_ports, question_about
from runner.services.lm_profiles import callable_profile
from runner.services.parts import pin_output, pins_of, read_partial, unpin_output
from runner.services.pools import order_pool
from runner.services.response_cache import clear_response_cache
from runner.services.retention import due_runs, forget_unused_indexes, forget_with, prune, prune_as
from runner.services.router import (
    note_modules,
    pin_backend,
    reset_figures,
    save_runner_settings,
)
from runner.services.runs import (
    cancel_run,
    resume_after_outage,
    resume_run,
    run_wanted,
    start_run,
)
from runner.services.sign_in import redeem_sign_in, sign_in_token
from runner.services.sizes import measure
from runner.services.stops import step_stopped, stop_step
from runner.services.tools import allow_tool

__all__ = [
    "allow_tool",
    "answer_step",
    "budgets_of",
    "callable_profile",
    "cancel_run",
    "clear_response_cache",
    "decide_step",
    "decided_ports",
    "due_runs",
    "forget_unused_indexes",
    "forget_with",
    "measure",
    "note_modules",
    "order_pool",
    "pin_backend",
    "pin_output",
    "pins_of",
    "prune",
    "prune_as",
    "question_about",
    "read_partial",
    "redeem_sign_in",
    "reset_figures",
    "resume_after_outage",
    "resume_run",
    "run_answered",
    "run_wanted",
    "save_runner_settings",
    "sign_in_token",
    "start_run",
    "step_stopped",
    "stop_step",
    "unpin_output",
]
