"""Every write on runs that people ask for. Keyword-only functions, each of which asks
`permissions.can` itself: no caller can forget to."""

from runner.services.retention import prune
from runner.services.runs import cancel_run, resume_run, run_wanted, start_run
from runner.services.sign_in import redeem_sign_in, sign_in_token

__all__ = [
    "cancel_run",
    "prune",
    "redeem_sign_in",
    "resume_run",
    "run_wanted",
    "sign_in_token",
    "start_run",
]
