"""`python -m tests.faults [--only WORDS] [--quick]`: try the kill matrix and print it; 1 when one is red.
`--random SECONDS [--seed N]`: kill whatever is at work at random moments instead."""

import argparse
import os
import random
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import django
from django.core.management import call_command

from tests.faults.model import model

if TYPE_CHECKING:  # Django has to be set up before
    from tests.faults.world import World


@contextmanager
def database() -> Iterator[Path]:
    """Django, on a data directory of its own."""
    with tempfile.TemporaryDirectory(prefix="dspex-faults-") as directory:
        os.environ |= {
            "DSPEX_DATA_DIR": directory,
            "DSPEX_ORIGINS": "",
            "DSPEX_LEASE_SECONDS": "2",
            "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
        }
        django.setup()
        call_command("migrate", interactive=False, verbosity=0)
        yield Path(directory)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", default="", help="cases that have these words in their line")
    parser.add_argument("--quick", action="store_true", help="a few of them, within a minute")
    parser.add_argument("--random", type=float, help="instead: so many seconds of random deaths")
    parser.add_argument("--seed", type=int, default=1, help="of these")
    chosen = parser.parse_args()
    with model() as counting, database() as directory:
        from tests.faults.world import World

        world = World(directory, counting)
        if chosen.random is not None:
            return _at_random(world, chosen.random, chosen.seed)
        return _matrix(world, chosen.only, chosen.quick)


def _at_random(world: "World", seconds: float, seed: int) -> int:
    from tests.faults.at_random import AtRandom

    deaths = AtRandom(world, random.Random(seed))
    deaths.go(seconds)
    print(f"Seed {seed}: {deaths.told()}")
    print("\n".join(deaths.problems) or "All well")
    return 1 if deaths.problems else 0


def _matrix(world: "World", only: str, quick: bool) -> int:
    from tests.faults.matrix import CASES
    from tests.faults.stage import Stage

    red = 0
    print(f"{'who':<18}{'what was running':<24}{'when':<24}{'result':<8}seconds", flush=True)
    for number, case in enumerate(CASES):
        line = f"{case.who:<18}{case.what:<24}{case.when:<24}"
        if only not in line or (quick and not case.quick):
            continue
        stage = Stage(world, f"case {number}")
        began = time.monotonic()
        try:
            case.try_(stage)
            result, why = "green", ""
        except Exception as error:
            red += 1
            result, why = "RED", f"  {error}"
            for process in stage.processes:
                why += "\n    " + process.said()[-1500:].replace("\n", "\n    ")
            if type(error).__name__ != "Red":
                traceback.print_exc()
        finally:
            stage.end()
        print(f"{line}{result:<8}{time.monotonic() - began:.1f}{why}", flush=True)
    print(f"{red} red" if red else "All green")
    return 1 if red else 0


if __name__ == "__main__":
    raise SystemExit(main())
