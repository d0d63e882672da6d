"""Settings, all from the environment (see .env.example and docs/reference/settings.md).

Without any variable set the development defaults hold: a SQLite control database in
WAL mode and a broker on the local machine. Production sets CAUSEWAY_MODE=production,
and then a missing secret stops the start instead of falling back to a default.
"""

import os
from pathlib import Path

import environ

from controlplane import environment

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
if env.bool("CAUSEWAY_READ_DOTENV", default=True):
    environ.Env.read_env(BASE_DIR / ".env")
env.ENVIRON = environment.with_secret_files(os.environ)

PRODUCTION = env.str("CAUSEWAY_MODE", default="development") == "production"
if PRODUCTION:
    environment.refuse_missing(env.ENVIRON)
STATE_DIR = Path(env.str("CAUSEWAY_STATE_DIR", default=str(BASE_DIR / ".demo")))

# --- Secrets: required in production, never logged --------------------------------------------
SECRET_KEY = env.str("SECRET_KEY", default="development-only-" + "x" * 50)
# Comma-separated Fernet keys; the first encrypts, all decrypt (rotation).
CAUSEWAY_FIELD_KEYS: list[str] = env.list(
    "CAUSEWAY_FIELD_KEYS", default=["ZGV2ZWxvcG1lbnQtb25seS1rZXktbm90LXNlY3JldCE="]
)
# Ed25519 private key (PEM file, mode 0400) that signs the audit trail's checkpoints.
CAUSEWAY_AUDIT_KEY_FILE = env.str("CAUSEWAY_AUDIT_KEY_FILE", default=str(STATE_DIR / "keys" / "audit.pem"))

DEBUG = False
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[] if PRODUCTION else ["127.0.0.1", "localhost", "testserver"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
CAUSEWAY_BASE_URL = env.str("CAUSEWAY_BASE_URL", default="http://127.0.0.1:8000")
# How many proxies of ours stand before the application: so many entries of X-Forwarded-For are believed.
CAUSEWAY_PROXY_COUNT = env.int("CAUSEWAY_PROXY_COUNT", default=0)
if PRODUCTION:
    environment.refuse_weak(
        secret_key=SECRET_KEY,
        field_keys=CAUSEWAY_FIELD_KEYS,
        allowed_hosts=ALLOWED_HOSTS,
        base_url=CAUSEWAY_BASE_URL,
    )

# --- What an operator allows: roots, hosts, commands by name; the web can't change it ----------
CAUSEWAY_OPERATOR_FILE = env.str("CAUSEWAY_OPERATOR_FILE", default=str(STATE_DIR / "operator.toml"))
_certificates = env.str("CAUSEWAY_CERTIFICATES_DIR", default="")
CAUSEWAY_CERTIFICATES_DIR = Path(_certificates) if _certificates else None
CAUSEWAY_ARTIFACTS_DIR = Path(env.str("CAUSEWAY_ARTIFACTS_DIR", default=str(STATE_DIR / "artifacts")))

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "django_celery_results",
    "axes",
    "controlplane.pages",
    "controlplane.audit",
    "controlplane.registry",
    "controlplane.people",
    "controlplane.mail",
    "monitoring_app",
    "migrations_app",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "controlplane.zones.ViewersZone",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "controlplane.urls"
WSGI_APPLICATION = "controlplane.wsgi.application"
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
        },
    }
]

# --- Uploads: each file is bounded while it arrives ---------------------------------------------
FILE_UPLOAD_HANDLERS = [
    "controlplane.uploads.BoundedUploadHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

# --- Control database --------------------------------------------------------------------------
CONTROL_URL_DEFAULT = f"sqlite:///{STATE_DIR / 'control.sqlite3'}"
environment.refuse_other_database(env.str("DATABASE_URL", default=CONTROL_URL_DEFAULT))
DATABASES = {
    "default": environment.parsed("DATABASE_URL", lambda: env.db_url("DATABASE_URL", default=CONTROL_URL_DEFAULT))
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Writers queue up to 20 s instead of failing; IMMEDIATE takes the write lock at BEGIN, so that a
    # transaction that read first can't fail at its first write.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
    }
    # Tests run on a file as the product does, not in memory: workers and other processes must see it too.
    _control_file = Path(DATABASES["default"]["NAME"])
    if _control_file.name != ":memory:":
        DATABASES["default"]["TEST"] = {"NAME": str(_control_file.with_name(f"test_{_control_file.name}"))}
else:
    # A connection lives on between requests, and is looked at before it is used again: the server may have restarted.
    DATABASES["default"] |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- People --------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
# Of a failed attempt axes keeps what was posted: never a code that still counts, nor what was typed beside it.
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "password", "code", "reason", "note", "csrfmiddlewaretoken"]
AXES_SENSITIVE_PARAMETERS += ["new_password", "again", "first_code"]
AXES_LOCKOUT_TEMPLATE = "locked.html"
AXES_CLIENT_IP_CALLABLE = "controlplane.proxies.client_address"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    # Refuses nothing: hears of every password that was set.
    {"NAME": "controlplane.people.changes.NoticePasswordChanges"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "runs"
LOGOUT_REDIRECT_URL = "login"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

if PRODUCTION:
    SESSION_COOKIE_NAME = "__Host-sessionid"  # the prefix makes browsers refuse one set by a neighbouring host
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31536000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
    }
}

# --- Pages -----------------------------------------------------------------------------------------
LANGUAGE_CODE = "en-us"
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_I18N = False
FORMAT_MODULE_PATH = "controlplane.formats"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
if PRODUCTION:
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
else:
    WHITENOISE_USE_FINDERS = True  # no collectstatic needed for the demo and the tests

# --- Mail ---------------------------------------------------------------------------------------------
EMAIL_CONFIG = environment.parsed("EMAIL_URL", lambda: env.email_url("EMAIL_URL", default="consolemail://"))
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="causeway@localhost")

# --- Monitoring ---------------------------------------------------------------------------------------
# Seconds between two rounds; a demo may shorten them. Readiness fails when the loop was silent for three.
CAUSEWAY_MONITORING_SECONDS = env.int("CAUSEWAY_MONITORING_SECONDS", default=15)
# Who knows it reads /metrics and the details of /readyz. Empty: nobody does.
CAUSEWAY_METRICS_TOKEN = env.str("CAUSEWAY_METRICS_TOKEN", default="")
# The hour, in TIME_ZONE, from which on the day's verification is made.
CAUSEWAY_DAILY_HOUR = env.int("CAUSEWAY_DAILY_HOUR", default=6)

# --- Celery: the database is the queue, the broker only wakes a worker --------------------------------
CELERY_BROKER_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = False  # a result never stores arguments
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TRACK_STARTED = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "common"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 24 * 3600,
    "unacked_restore_throttle": 1,
    "unacked_restore_interval": 2,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# On SIGQUIT (containers map SIGTERM to it) running tasks get this long, then their messages go back to the queue.
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 8
CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE = True
CELERY_BEAT_SCHEDULE = {
    "audit-checkpoint": {"task": "controlplane.audit.tasks.hourly_checkpoint", "schedule": 3600.0},
    "sweep": {"task": "migrations_app.sweep", "schedule": 5.0, "options": {"expires": 10}},
    # A live crossing is behind by this at least; each ring is a slice of work of some milliseconds.
    "followers": {"task": "migrations_app.ring_followers", "schedule": 2.0, "options": {"expires": 2}},
    "certificates": {"task": "migrations_app.issue_certificates", "schedule": 10.0, "options": {"expires": 10}},
    "mail-prune": {"task": "controlplane.mail.prune", "schedule": 86400.0},
    "mail": {"task": "controlplane.mail.send", "schedule": 10.0, "options": {"expires": 10}},
    "monitoring-tick": {
        "task": "monitoring_app.tick",
        "schedule": float(CAUSEWAY_MONITORING_SECONDS),
        "options": {"expires": CAUSEWAY_MONITORING_SECONDS},
    },
    "monitoring-evaluate": {
        "task": "monitoring_app.evaluate",
        "schedule": float(CAUSEWAY_MONITORING_SECONDS),
        "options": {"expires": CAUSEWAY_MONITORING_SECONDS},
    },
    "monitoring-roll-up": {"task": "monitoring_app.roll_up", "schedule": 300.0, "options": {"expires": 240}},
    "monitoring-verify-daily": {"task": "monitoring_app.verify_daily", "schedule": 600.0, "options": {"expires": 300}},
    "monitoring-self-test": {"task": "monitoring_app.self_test", "schedule": 3600.0, "options": {"expires": 1800}},
}

# --- Logs and error reports: no secret in them, and no report by mail ------------------------------------
DEFAULT_EXCEPTION_REPORTER_FILTER = "controlplane.exception_filter.SecretsExceptionReporterFilter"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "controlplane.redaction.RedactingFilter"}},
    "formatters": {
        "line": {
            "()": "controlplane.logs.OneLineFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    # On the handler: a filter of a logger doesn't see the records of the loggers below it.
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["redact"]}},
    "root": {"handlers": ["stderr"], "level": env.str("CAUSEWAY_LOG_LEVEL", default="INFO")},
    "loggers": {
        # Django's own handlers would mail error reports and print unfiltered lines.
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "axes.apps": {"level": "WARNING"},  # a banner at every start
        "fontTools": {"level": "WARNING"},  # a line for every table of a font
        "django.server": {"handlers": [], "level": "INFO", "propagate": True},
    },
}

# --- Rules that an operator may tighten or, for a demo, shorten ----------------------------------------
CAUSEWAY_LEASE_SECONDS = env.int("CAUSEWAY_LEASE_SECONDS", default=15)
CAUSEWAY_HEARTBEAT_SECONDS = env.int("CAUSEWAY_HEARTBEAT_SECONDS", default=5)
CAUSEWAY_MAX_ATTEMPTS = 3
CAUSEWAY_SIGNATURE_HOURS = 72
CAUSEWAY_REAUTH_SECONDS = 600
CAUSEWAY_COUNTERSIGN_HOURS = 24
# After somebody else set a person's password, or removed the second factor, the account decides nothing for so long.
CAUSEWAY_ACCOUNT_REST_HOURS = env.int("CAUSEWAY_ACCOUNT_REST_HOURS", default=24)
CAUSEWAY_REHEARSAL_MAX_DAYS = 7
# How long a certificate says that the backups of a finished run are kept; nothing deletes them by itself.
CAUSEWAY_BACKUP_DAYS = env.int("CAUSEWAY_BACKUP_DAYS", default=90)
