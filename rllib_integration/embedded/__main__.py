"""Command line of the server: `python -m rllib_integration.embedded -carla-rpc-port=2000`."""

from __future__ import annotations

import sys

from rllib_integration.embedded.command_line import main

if __name__ == "__main__":
    sys.exit(main())
