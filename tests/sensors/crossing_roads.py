"""A map of two straight roads, one over the other."""

from __future__ import annotations

BRIDGE_HEIGHT = 8.0  # [m]


def crossing_roads() -> str:
    """OpenDRIVE of a road along x on the ground and a road along y, :data:`BRIDGE_HEIGHT` above it."""
    return (
        '<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name="crossing"/>'
        + _road(1, -100.0, 0.0, 0.0, 0.0)
        + _road(2, 0.0, -100.0, 1.5707963267948966, BRIDGE_HEIGHT)
        + "</OpenDRIVE>"
    )


def _road(number: int, x: float, y: float, heading: float, height: float) -> str:
    lane = (
        '<lane id="{0}" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/>'
        '<roadMark sOffset="0" type="solid" weight="standard" color="white" width="0.12" laneChange="none"/></lane>'
    )
    return (
        f'<road name="" length="200.0" id="{number}" junction="-1"><planView>'
        f'<geometry s="0" x="{x}" y="{y}" hdg="{heading}" length="200.0"><line/></geometry></planView>'
        f'<elevationProfile><elevation s="0" a="{height}" b="0" c="0" d="0"/></elevationProfile>'
        f'<lanes><laneSection s="0"><left>{lane.format(1)}</left><center><lane id="0" type="none" level="false">'
        '<roadMark sOffset="0" type="solid" weight="standard" color="yellow" width="0.12" laneChange="none"/></lane>'
        f"</center><right>{lane.format(-1)}</right></laneSection></lanes></road>"
    )
