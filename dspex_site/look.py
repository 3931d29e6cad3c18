"""What templates draw and word alike everywhere: icons, glyphs, dates, initials."""

from datetime import datetime

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

GLYPH_NAMES = {
    "ok": "Succeeded",
    "running": "Running",
    "failed": "Failed",
    "warn": "Warning",
    "waiting": "Waiting for a person",
    "queued": "Queued",
    "cached": "From cache",
    "skipped": "Skipped",
    "cancelled": "Cancelled",
}


@register.simple_tag
def icon(name: str, size: str = "") -> SafeString:
    """A drawing of `icons.svg`, with a word beside it; `s` for the small one."""
    return format_html(
        '<svg class="i {}" viewBox="0 0 16 16" aria-hidden="true"><use href="{}#i-{}"/></svg>',
        size,
        static("icons.svg"),
        name,
    )


@register.simple_tag
def glyph(status: str, named: bool = False) -> SafeString:
    """The shape of a status. `named`: no word stands beside it, so it says its own."""
    said = format_html('role="img" aria-label="{}"', GLYPH_NAMES.get(status, status))
    return format_html(
        '<svg class="st" data-st="{}" viewBox="0 0 14 14" {}><use href="{}#s-{}"/></svg>',
        status,
        said if named else SafeString('aria-hidden="true"'),
        static("icons.svg"),
        status,
    )


@register.filter
def when(moment: datetime | None) -> str:
    """A date as people say it: now, 5 min ago, 3 h ago, Yesterday, Mon, 9 Nov, 9 Nov 2025."""
    if moment is None:
        return ""
    now = timezone.localtime()
    then = timezone.localtime(moment)
    seconds = (now - then).total_seconds()
    days = (now.date() - then.date()).days
    if seconds < 60:
        return "now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if days == 0:
        return f"{int(seconds // 3600)} h ago"
    if days == 1:
        return "Yesterday"
    if days < 7:
        return then.strftime("%a")
    date = f"{then.day} {then.strftime('%b')}"
    return date if then.year == now.year else f"{date} {then.year}"


@register.filter
def initials(user: object) -> str:
    """Two letters for a person's circle."""
    name = getattr(user, "get_full_name", str)() or str(user)
    words = [word for word in name.replace(".", " ").replace("_", " ").split() if word]
    letters = [word[0] for word in words[:2]] if len(words) > 1 else list(name[:2])
    return "".join(letters).upper()


@register.filter
def coded(text: str) -> SafeString:
    """A message in which `pieces of code` stand between backticks."""
    parts = str(text).split("`")
    return format_html_join(
        "",
        "{}",
        ((format_html("<code>{}</code>", p) if n % 2 else p,) for n, p in enumerate(parts)),
    )


@register.filter
def person(user: object) -> str:
    """A person's name, as others read it."""
    return (getattr(user, "get_full_name", str)() or str(user)) if user else "somebody"


@register.filter
def size_in_bytes(count: int) -> str:
    """Bytes with a unit: 812 B, 3.4 kB, 12 MB."""
    number = float(count)
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 10 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
