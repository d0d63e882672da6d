"""What the scripts share: the verbs as functions, and one JSON answer on the last line."""

import json
import sys


def main(**verbs):
    """Run the verb that the command line names with (folder, url), and print what it gives."""
    verb, folder, url = sys.argv[1:4]
    found = verbs[verb](folder, url)
    print("\n" + json.dumps(found, sort_keys=True, default=str))
