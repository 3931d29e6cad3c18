"""Settings of the whole installation. What an operator may change is read from the environment here
and nowhere else; see docs/reference/settings.md."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.http.request import split_domain_port
from django.utils.csp import CSP

from dspex_site import environment, secret_key
from runner.bridge.pool_settings import POOLS as OWN_POOLS

BASE_DIR = Path(__file__).resolve().parent.parent
# Everything that DSPex writes: the database, keys, the files of runs.
DATA_DIR = environment.directory("DSPEX_DATA_DIR", BASE_DIR / "var")

DEBUG = environment.flag("DSPEX_DEBUG", default=False)
SECRET_KEY = environment.text("DSPEX_SECRET_KEY") or secret_key.read_or_make(
    DATA_DIR / "secret_key"
)

# Lets a scraper read /metrics without a session. Empty: administrators only.
METRICS_TOKEN = environment.text("DSPEX_METRICS_TOKEN")
# A collector of OpenTelemetry spans, under the names that every such program reads.
OTLP_ENDPOINT = environment.url("OTEL_EXPORTER_OTLP_ENDPOINT")
OTLP_HEADERS = environment.pairs("OTEL_EXPORTER_OTLP_HEADERS")

# The first encrypts stored keys of providers, all decrypt them. Without any, SECRET_KEY does both.
CREDENTIAL_KEYS = environment.secrets("DSPEX_CREDENTIAL_KEYS", shortest=32)
# The pools of worker processes, each with what was written for it.
POOLS = environment.pools("DSPEX_POOL", OWN_POOLS)
# Days that finished runs are kept; 0: for good.
RETENTION_DAYS = environment.number("DSPEX_RETENTION_DAYS", 30)
# After so long without a sign of a runner, another one takes its runs over.
LEASE_SECONDS = environment.number("DSPEX_LEASE_SECONDS", 30, least=1)
# Bytes that are kept of one output of a step; a larger one fails the step. SQLite takes 1 GB at most.
MAX_VALUE = environment.number("DSPEX_MAX_VALUE_MB", 256, least=1, most=900) * 10**6

# Runs that a runner executes at a time. They mostly wait for language models, whose profiles have limits
# of their own; but the more go on, the longer a step that needs a worker may wait for one.
CONCURRENT_RUNS = environment.number("DSPEX_CONCURRENT_RUNS", 64)

# Where browsers reach this installation. None named: this machine only, on any port.
ORIGINS = environment.origins("DSPEX_ORIGINS")
HTTPS = any(origin.startswith("https:") for origin in ORIGINS)
LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = [split_domain_port(urlsplit(origin).netloc)[0] for origin in ORIGINS] or LOOPBACK
CSRF_TRUSTED_ORIGINS = ORIGINS

# Daphne's own app is left out: it is for `runserver`, and it imports Twisted into every command.
INSTALLED_APPS = [
    "pipelines.apps.PipelinesConfig",
    "runner.apps.RunnerConfig",
    "dspex_site.apps.DSPexAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # A view is closed to strangers unless it says otherwise.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "dspex_site.urls"
ASGI_APPLICATION = "dspex_site.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.csp",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            # Icons, dates and the like, in every template without a `load`.
            "builtins": ["dspex_site.look"],
        },
    },
]

DATABASES = {
    "default": environment.postgresql("DSPEX_DATABASE_URL")
    or {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "dspex.sqlite3",
        "OPTIONS": {
            # A transaction that takes its lock at the start waits for it; one that takes it half-way
            # fails at once.
            "transaction_mode": "IMMEDIATE",
            # Seconds that one waits for another's: the pages' writes, too, live through a backup.
            "timeout": 20,
            # Readers and the writer don't block each other, and a commit survives a crash of ours
            # (a power cut may cost the last ones). The log goes over into the database every 32 MB, not
            # every 4: that is when commits wait for the disk.
            # A connection keeps a megabyte of pages and the system the others: each thread has one.
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-1000; "
                "PRAGMA wal_autocheckpoint=8000; PRAGMA journal_size_limit=33554432;"
            ),
        },
    },
}
# Carries what is told to pages; between processes only with Redis.
REDIS_URL = environment.redis("DSPEX_REDIS_URL")
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "dspex"},
    }
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "sign_in"
LOGIN_REDIRECT_URL = "pipelines:home"
LOGOUT_REDIRECT_URL = "sign_in"

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
# Where dates are said in words, and in the admin.
TIME_ZONE = environment.time_zone("DSPEX_TIME_ZONE")
FORMAT_MODULE_PATH = "dspex_site.formats"
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static" / "dist"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "dspex_site.static_files.VersionedStaticFiles"},
}

# Browsers keep cookies per host, whatever the port: our own names, or two Django sites on one machine
# would sign each other out.
COOKIE_PREFIX = "__Host-dspex" if HTTPS else "dspex"
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}_session"
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}_csrf"
CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
SECURE_CSP = {
    "default-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "object-src": [CSP.NONE],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
}
# HTTPS ends at a proxy in front: redirecting to it and HSTS are the proxy's, and we trust no header
# of a request to say that it came by HTTPS.
SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W008"]
# Scripts and styles are built into a directory that is not there before.
SILENCED_SYSTEM_CHECKS += ["staticfiles.W004"]
