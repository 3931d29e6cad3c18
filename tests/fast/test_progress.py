"""How far containers have come, from rows: the same as the pages count from events."""

import pytest

from runner.models import Run
from runner.views.progress import Inner, Told, counted, inner


def said(told: Told, *steps: tuple[str, bool]) -> str:
    inner = [Inner(path=path, ended=ended) for path, ended in steps]
    return counted({"each": told}, inner)["each"].text


def test_an_item_is_done_when_all_of_its_steps_have_ended() -> None:
    told = Told(times=10, steps=2, loops=False)
    steps = [("each[0]/a", True), ("each[0]/b", True), ("each[11]/a", True), ("each[11]/b", False)]
    assert said(told, *steps, ("each[0]/b[3]/c", True), ("other[1]/a", True)) == "1 of 10"


def test_an_item_that_failed_is_counted_once() -> None:
    told = Told(times=3, steps=1, loops=False, failed={1, 2})
    assert said(told, ("each[0]/a", True), ("each[1]/a", True)) == "3 of 3, 2 failed"


def test_of_a_loop_the_round_is_told() -> None:
    told = Told(times=5, steps=1, loops=True)
    assert said(told, ("each[0]/a", True), ("each[1]/a", False)) == "Round 2 of 5"


@pytest.mark.parametrize(
    ("status", "code", "run", "ended"),
    [
        ("succeeded", "", "running", True),
        ("running", "", "running", False),
        ("cancelled", "", "cancelled", False),
        ("cancelled", "cancelled_by_user", "running", True),
        ("failed", "lm_auth", "suspended", False),
        ("failed", "lm_auth", "running", True),
    ],
)
def test_what_was_cut_off_has_not_ended(status: str, code: str, run: str, ended: bool) -> None:
    where = Run(status=run, failed_step="each[0]/a")
    assert inner(where, "each[0]/a", status, code).ended is ended
