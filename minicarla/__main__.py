"""Command line of the server: `minicarla -carla-rpc-port=2000`, or `python -m minicarla`."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the server as the command line says.

    Returns:
        The exit status.
    """
    try:
        from minicarla.command_line import main as serve

        return serve()
    except KeyboardInterrupt:
        # It is not serving yet, and has nothing to tell; its own processes end with it.
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
