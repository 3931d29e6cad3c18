"""Where workers may write: a directory each, in one of their forkserver's.

The forkserver removes a worker's directory when the worker ends, and its own when it does. If it is
killed, the next one removes what it left: whose lock can be had is dead, as the system frees the lock
of a process that ends, whatever ended it. Another installation that runs on this machine keeps its own.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = ".lock"


class Scratch:
    """The directories of one forkserver's workers. Where none can be made, `of` says why, and there is
    nothing to remove."""

    def __init__(self, temporary: Path | None = None) -> None:
        self._failed: OSError | None = None
        try:
            self._begin(_home(temporary or Path(tempfile.gettempdir())))
        except OSError as error:
            self._failed = error

    def _begin(self, home: Path) -> None:
        with _locked(home / _LOCK):
            _sweep(home)
            self._path = Path(tempfile.mkdtemp(dir=home))
            self._lock = _open_lock(self._path / _LOCK)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def of(self, worker: int) -> Path:
        """The directory of this worker; it makes it itself. OSError when there can be none."""
        if self._failed is not None:
            raise self._failed
        return self._path / str(worker)

    def leave(self) -> None:
        """In a worker: the lock is the forkserver's."""
        if self._failed is None:
            os.close(self._lock)

    def clear(self, worker: int) -> None:
        """The worker has ended. Most have written nothing; else a process of its own removes it, as the
        forkserver has others to serve."""
        if self._failed is not None:
            return
        path = self.of(worker)
        try:
            path.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            if os.fork() == 0:
                shutil.rmtree(path, ignore_errors=True)
                os._exit(0)

    def close(self) -> None:
        """Remove it all."""
        if self._failed is not None:
            return
        shutil.rmtree(self._path, ignore_errors=True)
        os.close(self._lock)


def _home(temporary: Path) -> Path:
    """This user's directory in a place where all may write: nobody may have made it for them."""
    home = temporary / f"dspex-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    status = home.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"{home} is not a directory that only this user writes to: remove it")
    return home


def _sweep(home: Path) -> None:
    for left in home.iterdir():
        if left.is_dir() and _is_dead(left):
            shutil.rmtree(left, ignore_errors=True)


def _is_dead(path: Path) -> bool:
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """While one forkserver makes its directory, no other takes it for a dead one's."""
    lock = _open_lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
