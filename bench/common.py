"""What the measuring process and the measured ones must agree on."""

URL_VARIABLE = "BENCH_TARGET_URL"  # the target's URL: in the environment, since arguments can be seen by all
JOBS = 2  # connections, of every path that has a choice
