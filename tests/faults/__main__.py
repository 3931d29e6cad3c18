"""`python -m tests.faults [--only WORDS] [--quick]`: try the kill matrix and print it; 1 when one is red."""

import argparse
import os
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.core.management import call_command

from tests.faults.model import model


@contextmanager
def database() -> Iterator[Path]:
    """Django, on a data directory of its own."""
    with tempfile.TemporaryDirectory(prefix="dspex-faults-") as directory:
        os.environ |= {
            "DSPEX_DATA_DIR": directory,
            "DSPEX_ORIGINS": "",
            "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
        }
        django.setup()
        call_command("migrate", interactive=False, verbosity=0)
        yield Path(directory)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", default="", help="cases that have these words in their line")
    parser.add_argument("--quick", action="store_true", help="a few of them, within a minute")
    chosen = parser.parse_args()
    with model() as counting, database() as directory:
        from tests.faults.matrix import CASES
        from tests.faults.stage import Stage
        from tests.faults.world import World

        world = World(directory, counting)
        red = 0
        print(f"{'who':<18}{'what was running':<24}{'when':<24}{'result':<8}seconds", flush=True)
        for number, case in enumerate(CASES):
            line = f"{case.who:<18}{case.what:<24}{case.when:<24}"
            if chosen.only not in line or (chosen.quick and not case.quick):
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
