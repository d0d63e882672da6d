"""Gunicorn in production. Pages are short: long work is the workers', so a request over 30 s is ended."""

import os

bind = "0.0.0.0:8000"
worker_class = "gthread"  # live pages hold keep-alive connections; threads hold them cheaply
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 8
# Loaded in the master: a refused start ends the container with its sentence instead of restarting workers for ever.
preload_app = True
timeout = 30
graceful_timeout = 20
keepalive = 15
max_requests = 5000
max_requests_jitter = 500
worker_tmp_dir = "/dev/shm"  # heartbeats of workers must not wait for a disk
accesslog = None  # the proxy writes one
errorlog = "-"
limit_request_line = 4094
