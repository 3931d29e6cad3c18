"""Whether the bridge works on this machine: a worker of each pool, its formats, how far it is shut in."""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from runner.bridge import formats
from runner.bridge.formats import Format
from runner.bridge.isolation import Isolation, report
from runner.bridge.messages import Ready
from runner.bridge.pool import Pool
from runner.bridge.pool_settings import PoolSettings
from runner.bridge.pools import Pools
from runner.bridge.tables import Table, plain
from runner.engine.errors import RunnerError
from runner.engine.findings import Finding, broken, degraded, ok

SETUP = "Run `make setup`, which installs what is missing."


def workers(pools: Sequence[PoolSettings]) -> list[Finding]:
    """Have one worker of each pool, and end them. Blocks for some two seconds: DSPy is loaded."""
    return asyncio.run(_workers(pools))


async def _workers(pools: Sequence[PoolSettings]) -> list[Finding]:
    there = Pools(pools)
    try:
        answers = await asyncio.gather(*(_worker(each) for each in there))
    finally:
        await there.aclose()
    ready = next((each for each, _ in answers if isinstance(each, Ready)), None)
    why = next((str(each) for each, _ in answers if not isinstance(each, Ready)), "")
    if ready is None:
        return [
            broken("DSPy", f"It does not load in a worker: {why}", SETUP),
            broken("Pools", "No pool has a worker: native steps run, DSPy steps fail.", SETUP),
            *_formats(None),
        ]
    versions = ", ".join(f"{name} {each}" for name, each in sorted(ready.versions.items()))
    return [
        ok("DSPy", f"{versions}; {len(ready.modules)} modules, loaded in a worker."),
        _pools(pools, answers),
        *_formats(ready),
    ]


async def _worker(pool: Pool) -> tuple[Ready | str, float]:
    """What the pool's first worker is, or why there is none; and after how many seconds."""
    began = time.monotonic()
    try:
        return await pool.start(), time.monotonic() - began
    except RunnerError as error:
        return error.message, time.monotonic() - began


def _pools(pools: Sequence[PoolSettings], answers: Sequence[tuple[Ready | str, float]]) -> Finding:
    failed = [
        f"{pool.name}: {ready}"
        for pool, (ready, _) in zip(pools, answers, strict=True)
        if isinstance(ready, str)
    ]
    if failed:
        mend = "Its steps wait in vain. Mend what is said, or see the page Workers."
        return broken("Pools", f"No worker can be had of {'; '.join(failed)}", mend)
    said = (
        f"{pool.name} ({_most(pool)}), ready after {seconds:.1f} s"
        for pool, (_, seconds) in zip(pools, answers, strict=True)
    )
    return ok("Pools", "; ".join(said) + ".")


def _most(pool: PoolSettings) -> str:
    workers = f"{pool.size} workers at most"
    if pool.threads == 1:
        return workers
    return f"{workers}, {pool.threads} threads each: {pool.places} steps at once"


def _formats(ready: Ready | None) -> list[Finding]:
    """Which formats both sides have, and whether each of ours carries a message."""
    ours, theirs = formats.names(), ready.formats if ready else ()
    bad = [name for name in ours if not _carries(formats.by_name(name))]
    if bad:
        return [broken("Formats", f"{', '.join(bad)} loses what it carries.", SETUP)]
    missing = [name for name in ours if theirs and name not in theirs]
    if missing:
        says = f"Workers have {', '.join(theirs)}, but not {', '.join(missing)}."
        return [degraded("Formats", says, "Start DSPex again, so that both sides are the same.")]
    return [ok("Formats", f"{', '.join(ours)}.")]


def _carries(format_: Format) -> bool:
    """Whether what a format is given comes back: a message, or a table."""
    sent = Ready(protocol=1, format=format_.name, versions={"größe": "1"}, operations=("a", "b"))
    records = [{"größe": 1.5, "name": "a"}]
    try:
        if not format_.messages:
            table = format_.decoder(Table)(format_.encode(Table.of_records(records)))
            return bool(plain(table) == records)
        return bool(format_.decoder(Ready)(format_.encode(sent)) == sent)
    except (RunnerError, msgspec.MsgspecError, ValueError, TypeError, ImportError):
        return False


def isolation(settings: Isolation | None = None) -> list[Finding]:
    """What a worker can be kept from here, measured."""
    measures = report(settings)
    left = [each for each in measures if not each.applied]
    if len(left) == len(measures):
        says = "; ".join(f"{each.name}: {each.detail}" for each in left)
        return [broken("Isolation", f"Workers are not shut in at all. {says}", _ISOLATION)]
    if left:
        says = "; ".join(f"not {each.name}: {each.detail}" for each in left)
        kept = ", ".join(each.name for each in measures if each.applied)
        return [degraded("Isolation", f"Workers are shut in ({kept}), but {says}.", _ISOLATION)]
    return [ok("Isolation", f"Workers are shut in: {', '.join(each.name for each in measures)}.")]


_ISOLATION = "Allow it to the account that runs DSPex, or run only what you trust."
