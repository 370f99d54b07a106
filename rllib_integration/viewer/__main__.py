"""Watch worlds and runs in a browser: python3 -m rllib_integration.viewer [RUN_DIR ...] [--carla-port PORT]"""

from __future__ import annotations

import sys

from rllib_integration.viewer.command import main

sys.exit(main())
