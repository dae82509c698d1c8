"""What every find in Python uses: say what was seen, and fail if it is no longer the surprise."""

import atexit
import os
import sys

_changed = []


def seen(what, value, surprise):
    """Prints `value` and remembers whether it still is `surprise`."""
    print(f"seen: {what}: {value!r}")
    if value != surprise:
        _changed.append(what)
        print(f"CHANGED: {what}: was {surprise!r}")


def _finish():
    sys.stdout.flush()
    if _changed:
        os._exit(1)


atexit.register(_finish)
