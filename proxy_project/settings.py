"""All settings, read from the environment (README, "Configuration"); nothing else in the project reads it for settings.

`DATA_DIR` holds what a restart must find again: the secret key, SQLite's file and the journal. Under pytest the default
folder is refused, so that a test can never touch a developer's data.
"""

import sys
from typing import Any

from csp.constants import NONE, SELF

from proxy_project import VERSION as VERSION
from proxy_project import environment as env

BASE_DIR = env.BASE_DIR
if "pytest" in sys.modules and not env.text("DATA_DIR"):
    raise env.SettingError("DATA_DIR is unset under pytest; tests must name a temporary folder.")
DATA_DIR = env.data_dir()

DEBUG = env.flag("DEBUG")
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
HOST, PORT = env.address()
WORKERS = env.workers()
DRAIN_SECONDS = env.number("DRAIN_SECONDS", 30, 0, 86400)
REQUEST_TIMEOUT = env.number("REQUEST_TIMEOUT", 60, 1, 86_400)  # seconds without a byte of a request's body
MAX_BODY_BYTES = env.number("MAX_BODY_BYTES", 64 * 1024 * 1024, 1024, 1 << 40)
TRUSTED_PROXIES = env.addresses("TRUSTED_PROXIES")
CORS_ORIGINS = env.origins("CORS_ORIGINS", everyone=True)
ADMIN_TOKEN = env.text("ADMIN_TOKEN")
RELAY_CONFIG = env.text("RELAY_CONFIG")
REDIS_URL = env.redis_url()
CURRENCY = env.currency()  # of all prices, and so of all costs; nothing is converted
ENVIRONMENT = env.text("ENVIRONMENT")  # shown in the header of every page: production, staging …
ASK_FOR_USAGE = env.flag("ASK_FOR_USAGE", True)  # of chat streams whose client did not; the extra chunk is kept to ourselves
RESPONSES_WEBSOCKET = env.flag("RESPONSES_WEBSOCKET", True)  # off: such clients are told (426) to use HTTP
WEBSOCKET_PING_SECONDS = env.number("WEBSOCKET_PING_SECONDS", 25, 1, 3600)  # both ways, also while a turn runs
WEBSOCKET_PONG_SECONDS = env.number("WEBSOCKET_PONG_SECONDS", 60, 1, 3600)  # a peer that has not answered by then is given up
JOURNAL_QUOTA_BYTES = env.number("JOURNAL_QUOTA_BYTES", 1 << 30, 1 << 20, 1 << 50)
JOURNAL_FSYNC = env.flag("JOURNAL_FSYNC")
INSTANCE = env.instance(DATA_DIR)
SECRET_KEY = env.given_secret_key()

ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS") or ["localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    *(["daphne"] if "runserver" in sys.argv else []),  # its half second of imports is for development alone
    "proxy_project.apps.EpitaphAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "axes",
    "channels",
    "ninja",
    "relay",
    "errorlog",
    "auditlog",
]
MIDDLEWARE = [
    "proxy_project.behind_proxy.BehindProxyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "axes.middleware.AxesMiddleware",
    "proxy_project.reader_zone.ReaderZoneMiddleware",
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
ROOT_URLCONF = "proxy_project.urls"
ASGI_APPLICATION = "proxy_project.asgi.application"
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
                "errorlog.badge.context",
                "relay.admin.frame.context",
            ],
            "libraries": {"reader_times": "proxy_project.reader_times"},
        },
    }
]

DATABASES: dict[str, Any] = {"default": env.database(DATA_DIR)}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # WAL lets pages read while the shipper writes; IMMEDIATE makes a second writer wait instead of failing halfway.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
if env.text("TEST_DB_NAME"):
    DATABASES["default"]["TEST"] = {"NAME": env.text("TEST_DB_NAME")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
FORMAT_MODULE_PATH = ["proxy_project.formats"]
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "proxy_project" / "static"]
WHITENOISE_USE_FINDERS = True  # the files are read where they lie; nothing is collected

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")  # BehindProxyMiddleware leaves it from trusted proxies alone
SECURE_HSTS_SECONDS = env.number("HSTS_SECONDS", 31_536_000, 0, 1 << 31)  # sent over TLS only
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "proxy_project.behind_proxy.client_address"
AXES_LOCKOUT_TEMPLATE = "admin/epitaph/locked_out.html"
AXES_RESET_ON_SUCCESS = True

# The two log apps know nothing of the gateway: what they need of it is named here by dotted path.
ERRORLOG = {
    "ENABLED": env.flag("ERRORLOG_ENABLED", True),
    "WRITER": "relay.recorder.record_error_event",  # callable(event: dict) -> None: writes through the journal
    "EVENTS_PER_GROUP": 1000,
    "BADGE_COUNTS_CLIENT_FAULT": env.flag("BADGE_COUNTS_CLIENT_FAULT"),
    "OWN_MODULES": ["relay", "errorlog", "auditlog", "proxy_project"],
    "PANELS": "relay.panels",
}
AUDITLOG = {"PANELS": "relay.panels"}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line"},
        "errorlog": {"class": "errorlog.capture.ErrorLogHandler", "level": "ERROR"},
    },
    # At INFO it greets on every start, also of a command; what it says of sign-ins comes from its other modules.
    "loggers": {"axes.apps": {"level": "WARNING"}},
    "root": {"handlers": ["console", "errorlog"], "level": LOG_LEVEL},
}

# Last, since both make what is missing: a bad setting above is refused before anything was changed.
env.make_folder(DATA_DIR)
SECRET_KEY = SECRET_KEY or env.kept_secret_key(DATA_DIR)
