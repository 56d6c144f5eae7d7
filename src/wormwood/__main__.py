"""The command `wormwood`, also as ``python -m wormwood``."""

import os
import sys

from wormwood.errors import BadInput
from wormwood.launch.run.threads import ONE_THREAD


def main() -> int:
    """Run one command on one thread, and return its exit code."""
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
    try:
        from wormwood.launch.cli.main import main as run  # with NumPy, which reads the variables
    except KeyboardInterrupt:  # loading takes a second
        print("wormwood: interrupted", file=sys.stderr)
        return 130
    except BadInput as error:  # of what is installed
        print(f"wormwood: {error}", file=sys.stderr)
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main())
