"""What every process shares. Reads the environment and libgo.yaml once, and refuses bad values."""

from __future__ import annotations

import os
import secrets
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF

from compute.states import InstanceState, InstanceType, OperationState
from libgo_site.celery import app as celery_app  # noqa: F401  tasks of every process belong to this app
from libgo_site.config import ConfigError, config_load, config_path
from libgo_site.logs import logging_config
from libgo_site.static_version import static_version

BASE_DIR = Path(__file__).resolve().parent.parent.parent
VAR_DIR = Path(os.environ.get("LIBGO_VAR") or BASE_DIR / "var").resolve()

try:
    LIBGO: dict[str, Any] = config_load(config_path(), os.environ)
except ConfigError as problem:
    sys.stderr.write(f"LibGo cannot start: {problem}\n")
    raise SystemExit(2) from problem


# Of 256 bits are tokens and seals made (RFC 7518, 3.2).
_KEY_MIN = 32


def _secret_key() -> str:
    """From the environment, else made once and kept in a file that only we may read."""
    given = os.environ.get("LIBGO_SECRET_KEY")
    if given and len(given) < _KEY_MIN:
        sys.stderr.write(
            f"LibGo cannot start: LIBGO_SECRET_KEY has {len(given)} characters and needs {_KEY_MIN} or more. "
            "Leave it away and LibGo makes one, or take the output of: openssl rand -base64 48\n"
        )
        raise SystemExit(2)
    if given:
        return given
    path = VAR_DIR / "secret_key"
    if not path.exists():
        VAR_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(48))
        except FileExistsError:
            pass
    return path.read_text().strip()


SECRET_KEY = _secret_key()
# Where LibGo itself listens.
LIBGO_PORT = int(os.environ.get("LIBGO_PORT") or 8000)
DEBUG = False
_HOST = os.environ.get("LIBGO_HOST", "127.0.0.1")
_extra_hosts = [name.strip() for name in os.environ.get("LIBGO_ALLOWED_HOSTS", "").split(",") if name.strip()]
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *_extra_hosts]
if _HOST not in ("", "0.0.0.0", "::"):  # nosec B104 # compares, binds nothing
    ALLOWED_HOSTS.append(_HOST)
CSRF_TRUSTED_ORIGINS = [f"https://{name}" for name in _extra_hosts if name != "*"]

INSTALLED_APPS = [
    "compute.apps.LibGoAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "csp",
    "django_htmx",
    "compute.apps.ComputeConfig",
    "dockerapp.apps.DockerappConfig",
    "kvm.apps.KvmConfig",
]
MIDDLEWARE = [
    "libgo_site.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "libgo_site.middleware.StaticGzipMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "libgo_site.middleware.LanguageMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "libgo_site.urls"
WSGI_APPLICATION = "libgo_site.wsgi.application"
ASGI_APPLICATION = "libgo_site.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            # Every template marks its words, so none has to load the tags for it.
            "builtins": ["django.templatetags.i18n", "compute.templatetags.libgo"],
        },
    }
]

# -- data ---------------------------------------------------------------------------------------

DATABASE_URL = os.environ.get("DATABASE_URL") or f"sqlite:///{VAR_DIR / 'libgo.sqlite3'}"
DATABASES: dict[str, Any] = {"default": dj_database_url.parse(DATABASE_URL, conn_max_age=600)}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # IMMEDIATE takes the write lock first: no "database is locked" half-way through a transaction.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;",
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = os.environ.get("REDIS_URL") or f"unix://{VAR_DIR / 'run' / 'broker.sock'}"
# Celery's transport names a unix socket differently.
_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)

CELERY_BROKER_URL = _BROKER_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 10, "socket_connect_timeout": 2, "max_retries": 0}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "libgo"
CELERY_BEAT_SCHEDULER = "libgo_site.beat:Scheduler"
# It looks at the clock so often, whatever it waits for.
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
CELERY_BEAT_SCHEDULE = {
    "operations": {"task": "compute.tasks.operations_sweep", "schedule": 5.0, "options": {"expires": 5}},
    "schedules": {"task": "compute.work_tasks.schedules_tick", "schedule": 10.0, "options": {"expires": 10}},
    "audit": {"task": "compute.tasks.audit_chain", "schedule": 5.0, "options": {"expires": 5}},
    "docker-helpers": {"task": "dockerapp.tasks.helpers_sweep", "schedule": 60.0, "options": {"expires": 60}},
    "docker-sessions": {
        "task": "dockerapp.tasks.sessions_sweep",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "kvm-exports": {"task": "kvm.tasks.exports_sweep", "schedule": 600.0, "options": {"expires": 300}},
    "usage": {"task": "compute.tasks.usage_keep", "schedule": 60.0, "options": {"expires": 60}},
    "directory": {
        "task": "compute.sign_in_tasks.directory_refresh",
        "schedule": 300.0,
        "options": {"expires": 240},
    },
    "alerts": {"task": "compute.tasks.alerts_look", "schedule": 5.0, "options": {"expires": 5}},
    "retention": {"task": "compute.tasks.retention_apply", "schedule": 3600.0, "options": {"expires": 600}},
}

# -- access -------------------------------------------------------------------------------------

AUTH_USER_MODEL = "compute.User"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "login"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = int(LIBGO["access"]["session_lifetime_s"])
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "compute.api.errors.csrf_failure"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
# Styles may be inline because xterm.js measures its cells with a <style> of its own.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF, "'unsafe-inline'"],
        "img-src": [SELF, "data:"],
        "font-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
# Behind a TLS proxy that is trusted to set X-Forwarded-Proto.
if os.environ.get("LIBGO_BEHIND_TLS") == "1":
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 31536000

# -- API ----------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "compute.api.authentication.JwtAuthentication",
        "compute.api.authentication.TokenAuthentication",
        "compute.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["compute.api.renderers.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "compute.api.exception_handler.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=LIBGO["access"]["access_token_lifetime_s"]),
    "REFRESH_TOKEN_LIFETIME": timedelta(seconds=LIBGO["access"]["refresh_token_lifetime_s"]),
    # So far may the clocks of LibGo's own hosts differ: what one has signed just now is good on the others.
    "LEEWAY": 60,
    "ALGORITHM": "HS256",
    "SIGNING_KEY": SECRET_KEY,
    "USER_ID_CLAIM": "user_id",
    "UPDATE_LAST_LOGIN": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "LibGo",
    "DESCRIPTION": "Virtual machines and containers as unified compute instances.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        f"{words.__name__}Enum": [(word.value, word.value) for word in words]
        for words in (InstanceState, InstanceType, OperationState)
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# -- static files: ours, and the packages of package.json straight from node_modules -------------

# Their edition stands in the address of every file, which browsers then keep for good: what one imports from
# another by a relative address is of the same edition, too.
_STATIC_VERSION = static_version(
    BASE_DIR / "static", [BASE_DIR / "package-lock.json"], ["Django", "drf-spectacular-sidecar"]
)
STATIC_URL = f"/static/{_STATIC_VERSION}/"
_VENDOR = {
    "tabler": "@tabler/core/dist",
    "htmx": "htmx.org/dist",
    "xterm": "@xterm/xterm",
    "xterm-fit": "@xterm/addon-fit",
    "uplot": "uplot/dist",
    "novnc": "@novnc/novnc",
}
STATICFILES_DIRS: list[Any] = [BASE_DIR / "static"]
for _name, _folder in _VENDOR.items():
    if (BASE_DIR / "node_modules" / _folder).is_dir():
        STATICFILES_DIRS.append((f"vendor/{_name}", BASE_DIR / "node_modules" / _folder))
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
WHITENOISE_IMMUTABLE_FILE_TEST = f"^{STATIC_URL}"

# -- languages: English is the source; libgo_site/locale holds the others (docs/translating.md) ----

LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LANGUAGE_CODE = os.environ.get("LIBGO_LANGUAGE") or "en"
if LANGUAGE_CODE not in dict(LANGUAGES):
    sys.stderr.write(
        f"LibGo cannot start: LIBGO_LANGUAGE is {LANGUAGE_CODE!r}; there are {', '.join(dict(LANGUAGES))}.\n"
    )
    raise SystemExit(2)
LANGUAGE_COOKIE_NAME = "libgo_language"
LOCALE_PATHS = [BASE_DIR / "libgo_site" / "locale"]
USE_I18N = True

USE_TZ = True
TIME_ZONE = "UTC"
LOGGING_CONFIG = None
LOGGING = logging_config(
    os.environ.get("LIBGO_LOG_LEVEL", "INFO"), os.environ.get("LIBGO_LOG_FORMAT", "text")
)
