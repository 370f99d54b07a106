"""Command line of the server: `python -m rllib_integration.embedded -carla-rpc-port=2000`."""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    try:
        from rllib_integration.embedded.command_line import main

        sys.exit(main())
    except KeyboardInterrupt:
        # It is not serving yet, and has nothing to tell; its own processes end with it.
        sys.exit(128 + signal.SIGINT)
