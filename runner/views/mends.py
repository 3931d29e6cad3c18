"""What helps against a failure, by its code: a sentence, and the page where it is done."""

from typing import NamedTuple

from django.urls import reverse

from runner.models import Run


class Mend(NamedTuple):
    says: str
    page: str = ""
    address: str = ""


_PROFILES = ("LM profiles", "pipelines:lm_profiles")
_WORKERS = ("Workers", "runner:workers")
_MENDS: dict[str, tuple[str, tuple[str, str] | None]] = {
    "auth": (
        "Give the LM profile a key that the provider takes, then let the run go on.",
        _PROFILES,
    ),
    "billing": ("Add credit at the provider, then let the run go on.", _PROFILES),
    "budget_exceeded": ("Raise the budget of the LM profile, then let the run go on.", _PROFILES),
    "needs_decision": ("Open the step, see what it was given, and say what became of it.", None),
    "decided_as_failed": ("Run it again when what was to happen may happen again.", None),
    "exhausted": ("The provider was away. Test the LM profile, then let the run go on.", _PROFILES),
    "rate_limit": ("Give the LM profile fewer calls at once, or wait a minute.", _PROFILES),
    "server": ("The provider failed. Run it again, or give the step retries.", None),
    "transport": ("Check the network and the address of the LM profile.", _PROFILES),
    "address_refused": ("Use an address that calls may go to in the LM profile.", _PROFILES),
    "context_window_exceeded": (
        "Send less: fewer passages, a shorter text, or a model with a larger window.",
        _PROFILES,
    ),
    "invalid_request": ("Check the model's name and settings in the LM profile.", _PROFILES),
    "refusal": ("The model refused. Change the instructions or the input.", None),
    "unparsable_answer": (
        "Read the answer below. Retries, plainer instructions or a larger model help.",
        None,
    ),
    "timeout": ("Raise the step's timeout, or give it retries.", None),
    "code_timeout": ("The model's code did not end. Run it again, or tell it what to avoid.", None),
    "interpreter_failed": ("The sandbox ended. Run it again; code may take half a gigabyte.", None),
    "deadline": ("Run it again with more time.", None),
    "operation_not_found": ("Set the step's backend to auto.", None),
    "worker_lost": ("Run it again. If it happens again, the module ends its process.", _WORKERS),
    "pool_busy": ("Run fewer steps at once, or make the pool larger.", _WORKERS),
    "circuit_open": ("See what its workers died of, mend it, then reset the breaker.", _WORKERS),
    "worker_busy": ("Give the step retries, or let its session's steps queue.", _WORKERS),
    "session_worker_unavailable": ("Run it again: the session gets another worker.", _WORKERS),
    "invalid_input": ("Compare the inputs below with what the step's signature asks for.", None),
    "invalid_config": ("Open the step in the editor and mend its configuration.", None),
    "output_not_produced": ("Give the output a default, or join the ways with a merge.", None),
    "value_too_large": ("Give less: fewer rows, or a reference to the data in place of it.", None),
    "loop_limit": ("Raise the number of rounds, or end the loop on another condition.", None),
}


def mend_of(code: str, run: Run) -> Mend | None:
    found = _MENDS.get(code)
    if found is None:
        return None
    says, page = found
    if page is None:
        editor = reverse("pipelines:editor", args=[run.pipeline_id])
        return Mend(says, "Open in editor", editor)
    return Mend(says, page[0], reverse(page[1]))
