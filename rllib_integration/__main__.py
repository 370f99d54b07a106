"""`python3 -m rllib_integration` is the same as `carla-rllib`."""

from __future__ import annotations

import sys

from rllib_integration.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
