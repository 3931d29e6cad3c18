"""Scripts, styles and images: their addresses carry a hash of the content, so that browsers keep them for
good, and we serve them ourselves, also without a proxy in front."""

import gzip
import hashlib
import mimetypes
import time
from functools import lru_cache
from pathlib import Path

from django.contrib.auth.decorators import login_not_required
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

_FOR_GOOD = "public, max-age=31536000, immutable"
_COMPRESSED = (".js", ".css", ".svg", ".json", ".map")


class VersionedStaticFiles(StaticFilesStorage):
    """`app.css` is at `app.css?v=<hash>`. What is not built yet has an address without."""

    def url(self, name: str | None) -> str:
        # A page asks for the same few names a hundred times.
        return self._url(name or "", int(time.monotonic()))

    @lru_cache(maxsize=512)  # noqa: B019  # there is one storage, for the life of the process
    def _url(self, name: str, second: int) -> str:
        address = super().url(name)
        found = _find(name)
        return f"{address}?{urlencode({'v': _hash(*found)})}" if found else address


@login_not_required
@require_safe
def serve(request: HttpRequest, path: str) -> HttpResponse:
    """One file of those that the finders know; nothing outside them has an address."""
    found = _find(path)
    if found is None:
        raise Http404("There is no such file.")
    compressed = path.endswith(_COMPRESSED)
    zipped = compressed and "gzip" in request.headers.get("Accept-Encoding", "")
    content_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    response = HttpResponse(_content(*found, zipped=zipped), content_type=content_type)
    if zipped:
        response["Content-Encoding"] = "gzip"
    if compressed:
        response["Vary"] = "Accept-Encoding"
    response["Cache-Control"] = _FOR_GOOD if "v" in request.GET else "no-cache"
    return response


def _find(name: str) -> tuple[Path, int] | None:
    """The file and when it was changed: together they name a content."""
    place = finders.find(name) if name and not name.endswith("/") else None
    if not place or not (path := Path(place)).is_file():
        return None
    return path, path.stat().st_mtime_ns


@lru_cache(maxsize=512)
def _hash(path: Path, changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


@lru_cache(maxsize=128)
def _content(path: Path, changed: int, *, zipped: bool) -> bytes:
    content = path.read_bytes()
    return gzip.compress(content, mtime=0) if zipped else content
