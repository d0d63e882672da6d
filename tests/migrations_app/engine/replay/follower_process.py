"""Follows in a process of its own, until it is killed or, with 'once', has caught up: python -m … FILE IDENTITY [once].

The plan comes on standard input, the target's URL in TARGET_DATABASE_URL. 'ready' is told before the first row moves;
with 'once' the memory that it took at most is told in the end, in KiB.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.plan import plan_from_document
from migrations_app.engine.replay.forward import Follower
from migrations_app.engine.target.target_url import parse_target_url


def main() -> None:
    plan = plan_from_document(json.load(sys.stdin))
    pair = Pair(Path(sys.argv[1]), plan, parse_target_url(os.environ["TARGET_DATABASE_URL"]), sys.argv[2])
    with Follower(pair) as follower:
        print("ready", flush=True)
        applied = follower.catch_up()
        while "once" not in sys.argv:
            follower.catch_up()
        print(applied.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)


if __name__ == "__main__":
    main()
