#!/usr/bin/env python3
"""Makes the viewer's picture and film for the documentation from a recorded episode.

python3 benchmarks/viewer_pictures.py FOLDER_OF_A_RUN docs/images --label "Episode 1"

Needs Chromium, playwright and Pillow. Pictures are taken one by one, so that the film runs evenly however slow the
machine is.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

_FLAGS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist", "--no-sandbox"]
_PICTURE = (1280, 760)  # px
_FILM = (1040, 560)  # px, of the page
_FILM_WIDTH = 720  # px, of the film
_SECONDS = 7.0  # of the film, in the episode's time
_RATE = 4  # pictures a second


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder with replays/")
    parser.add_argument("output", type=Path)
    parser.add_argument("--label", default="", help="of the episode")
    parser.add_argument("--at", type=float, default=0.4, help="moment of the picture, as a share of the episode")
    parser.add_argument("--film-at", type=float, default=0.42, help="beginning of the film, as such a share")
    arguments = parser.parse_args()
    viewer = subprocess.Popen(
        [sys.executable, "-m", "rllib_integration.viewer", str(arguments.run), "--port=0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert viewer.stdout is not None
        address = re.search(r"http\S+", viewer.stdout.readline())
        assert address is not None
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
            page = _open(browser.new_page(viewport=_size(_PICTURE)), address[0], arguments.label)
            _seek(page, arguments.at)
            picture = Image.open(io.BytesIO(page.screenshot(timeout=120_000))).convert("RGB")
            picture.quantize(200).save(arguments.output / "viewer.png", optimize=True)
            page.set_viewport_size(_size(_FILM))
            page.evaluate("document.querySelector('#button-side').click()")
            _film(page, arguments.film_at, arguments.output / "viewer.gif")
            browser.close()
    finally:
        viewer.terminate()
        viewer.wait()
    return 0


def _size(size: tuple[int, int]) -> ViewportSize:
    return {"width": size[0], "height": size[1]}


def _open(page: Page, address: str, label: str) -> Page:
    """The page with the episode loaded, standing still."""
    page.set_default_timeout(120_000)
    page.emulate_media(color_scheme="light")
    page.goto(address)
    page.click("#tabs [data-page=replays]")
    page.click(f".gallery .tile:has-text('{label}')")
    while not page.evaluate("Boolean(viewer.replay && viewer.world.town && viewer.hero)"):
        page.wait_for_timeout(200)
    page.evaluate("Object.assign(viewer.world, { fineness: 1, finest: 1, cost: 14 }); viewer.world.resize()")
    return page


def _seek(page: Page, share: float) -> None:
    page.evaluate(
        """share => {
          const { clip } = viewer.playhead;
          viewer.seek(clip.start + (clip.end - clip.start) * share);
          viewer.showMoment(clip.around(viewer.playhead.t));
          for (let n = 0; n < 3; n++) viewer.world.render(viewer.world.actors.shown.get(viewer.hero), 1);
        }""",
        share,
    )
    page.wait_for_timeout(700)  # for the panels, which follow a few times a second


def _film(page: Page, begin: float, file: Path) -> None:
    length = page.evaluate("viewer.playhead.clip.end - viewer.playhead.clip.start")
    frames = []
    for number in range(int(_SECONDS * _RATE)):
        _seek(page, min(begin + number / _RATE / length, 1.0))
        picture = Image.open(io.BytesIO(page.screenshot(timeout=120_000))).convert("RGB")
        picture = picture.resize((_FILM_WIDTH, round(picture.height * _FILM_WIDTH / picture.width)))
        frames.append(picture.quantize(64, dither=Image.Dither.NONE))
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=1000 // _RATE, loop=0, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
