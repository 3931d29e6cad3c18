"""Where DSPex writes: is there room, and may it; and where its pages' scripts are built."""

import shutil
import tempfile
from pathlib import Path

from django.conf import settings

from runner.engine.findings import Finding, State, broken, degraded, ok
from runner.host import HostSettings

MB = 10**6
LITTLE, TOO_LITTLE = 1_000 * MB, 100 * MB
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # tables go to workers there
LITTLE_SHARED, TOO_LITTLE_SHARED = 256 * MB, 16 * MB
BUILT = (
    *("app.js", "editor.js", "run.js", "admin.js", "canvas.js"),
    *("app.css", "editor.css", "run.css", "admin.css", "icons.svg"),
)
_BUILD = "Run `make setup`, which builds them."


def disks() -> list[Finding]:
    """Room in the data directory, the cache and shared memory."""
    found = [
        place("Disk: data", Path(settings.DATA_DIR)),
        place("Disk: cache", HostSettings().cache_directory),
    ]
    if SHARED_MEMORY.is_dir():
        limits = (LITTLE_SHARED, TOO_LITTLE_SHARED)
        found.append(place("Disk: shared memory", SHARED_MEMORY, *limits))
    return found


def place(part: str, path: Path, little: int = LITTLE, too_little: int = TOO_LITTLE) -> Finding:
    """Whether there is room at a path, which is made if it is not there, and whether files can be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path).free
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"DSPex was here")
            file.flush()
    except OSError as error:
        mend = f"Let this account write to {path}, or free some space there."
        return broken(part, f"Nothing can be written to {path}: {error.strerror}.", mend)
    says = f"{_size(free)} free at {path}."
    if free >= little:
        return ok(part, says)
    state = State.BROKEN if free < too_little else State.DEGRADED
    mend = "Free some: `manage.py prune` says what is kept and deletes what is old."
    return Finding(part=part, state=state, says=f"Only {says}", mend=mend)


def pages() -> list[Finding]:
    """Whether scripts and styles are built, and from the sources as they are."""
    built, sources = settings.BASE_DIR / "static" / "dist", settings.BASE_DIR / "static" / "src"
    return [build(Path(built), Path(sources))]


def build(built: Path, sources: Path) -> Finding:
    part = "Pages' scripts"
    missing = [name for name in BUILT if not (built / name).is_file()]
    if missing:
        return broken(part, f"{', '.join(missing)} are not in {built}: pages are bare.", _BUILD)
    oldest = min((built / name).stat().st_mtime for name in BUILT)
    files = (each for each in sources.rglob("*") if each.is_file() and ".test." not in each.name)
    newer = sorted(each.name for each in files if each.stat().st_mtime > oldest)
    if newer:
        says = f"They are older than {newer[0]}" + (
            f" and {len(newer) - 1} more" * (len(newer) > 1)
        )
        return degraded(part, f"{says}: pages are as they were before.", _BUILD)
    return ok(part, f"Built, {len(BUILT)} files.")


def _size(count: int) -> str:
    return f"{count / 10**9:.1f} GB" if count >= 10**9 else f"{count / MB:.0f} MB"
