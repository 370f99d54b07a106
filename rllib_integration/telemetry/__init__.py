"""What environments and scripts tell about themselves to a viewer that may or may not be there."""

from rllib_integration.telemetry.painter import Painter

__all__ = ["Painter"]
