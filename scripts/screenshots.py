"""Take pictures of the running demo, both screens at three sizes, and of a device in a heatwave.

SVG by Textual, PNG by Chromium:

    python scripts/screenshots.py [--out screenshots]

The SVG refers to nothing outside itself. Without a Chromium it stays at SVG and says what to
install.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from edgeconsole.demo.fleet import HOT_DEVICE, DemoFleet, Scenario
from edgeconsole.demo.service import DemoService
from edgeconsole.tui.app import EdgeConsoleApp
from edgeconsole.tui.service import ConsoleService
from edgeconsole.tui.state import now

ROOT = Path(__file__).resolve().parent.parent
_HEAT_SIZE = (120, 40)
SIZES = ((80, 24), (120, 40), (200, 60))
_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FONTS = "'Fira Code', 'DejaVu Sans Mono', monospace"
_FONT_FACE = re.compile(r"@font-face\s*\{[^}]*\}", re.DOTALL)

ServiceFactory = Callable[[], ConsoleService]


def standalone(svg: str) -> str:
    """Return the picture without web fonts: the fonts of the machine are named instead."""
    svg = _FONT_FACE.sub("", svg)
    svg = re.sub(r"font-family:\s*Fira Code,\s*monospace", f"font-family: {_FONTS}", svg)
    outside = re.findall(r"https?://(?!www\.w3\.org/)[^\s\"')]+", svg)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    if left := [url for url in outside if url in svg]:
        raise ValueError(f"the picture still refers to {left[0]}")
    return svg


async def capture(
    service_factory: ServiceFactory,
    out: Path,
    *,
    device: str | None = None,
    settle_s: float = 0.0,
    wall_clock: Callable[[], datetime] = now,
    sizes: Sequence[tuple[int, int]] = SIZES,
) -> list[Path]:
    """Write `fleet-WxH.svg` and `device-WxH.svg` and return their paths.

    Args:
        service_factory: Makes a service for each size; the app starts and stops it.
        out: The folder.
        device: The device to open; by default the worst one.
        settle_s: How long to let a live fleet run before the picture is taken.
        wall_clock: The time of day in the picture.
        sizes: Terminal sizes in cells.
    """
    written: list[Path] = []
    for size in sizes:
        app = EdgeConsoleApp(service_factory(), wall_clock=wall_clock)
        async with app.run_test(size=size) as pilot:
            await pilot.pause(settle_s)
            await app.show_fleet(None)
            for screen in ("fleet", "device"):
                if screen == "device":
                    await app.open_device(device or app.state.rows()[0].id)
                app.tick()
                await pilot.pause()
                app.tick()
                await pilot.pause()
                written.append(_write(out / f"{screen}-{size[0]}x{size[1]}.svg", app))
    return written


def _write(path: Path, app: EdgeConsoleApp) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(standalone(app.export_screenshot()), encoding="utf-8")
    return path


def chromium() -> str | None:
    """Return the browser that draws the pictures, if there is one."""
    return next(filter(None, map(shutil.which, _CHROMIUMS)), None)


def to_png(svg: Path, browser: str) -> Path:
    """Draw a picture with a browser of its own, with nothing left over from earlier runs."""
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{svg} has no viewBox")
    width, height = (round(float(side)) for side in found.groups())
    png = svg.with_suffix(".png")
    with tempfile.TemporaryDirectory() as profile:
        page = Path(profile) / "page.html"
        page.write_text(
            "<style>html,body{margin:0;background:#0c1117}svg{display:block}</style>"
            + svg.read_text(encoding="utf-8"),
            encoding="utf-8",
        )
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--window-size={width},{height}",
                f"--screenshot={png}",
                page.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
    return png


def pictures(paths: Sequence[Path]) -> Iterator[Path]:
    """Convert all pictures, or say what is missing."""
    browser = chromium()
    if browser is None:
        print(
            "no PNG: install a browser and fonts, for example\n"
            "  apt-get install chromium fonts-firacode fonts-dejavu-core",
            file=sys.stderr,
        )
        return
    for path in paths:
        yield to_png(path, browser)


class Watching:
    """A demo that runs already, as a service the app need neither start nor stop."""

    def __init__(self, demo: DemoService) -> None:
        self.store = demo.store
        self.desk = demo.desk
        self.jobs = demo.jobs
        self.models = demo.models
        self.problem = ""

    async def start(self) -> None:
        """Find the demo running."""

    async def stop(self) -> None:
        """Leave the demo running for the next picture."""


async def demo_pictures(out: Path, warm_s: float) -> list[Path]:
    """Run the demo, hurt one worker so that there is something to see, and take all pictures."""
    with tempfile.TemporaryDirectory() as folder:
        demo = DemoService(DemoFleet(Path(folder)))
        await demo.start()
        try:
            await asyncio.sleep(warm_s * 0.8)
            view = demo.store.device("dock-2")
            if view is not None and view.active is not None:
                os.kill(view.active.worker_pids[0], signal.SIGKILL)
            await asyncio.sleep(warm_s * 0.2)
            return await capture(lambda: Watching(demo), out, device="dock-2")
        finally:
            await demo.stop()


async def heat_pictures(out: Path, heat_s: float) -> list[Path]:
    """Run the heatwave until the simulated device stepped down and recovered; take its picture."""
    with tempfile.TemporaryDirectory() as folder:
        demo = DemoService(DemoFleet(Path(folder), Scenario.HEATWAVE))
        await demo.start()
        try:
            await asyncio.sleep(heat_s)
            app = EdgeConsoleApp(Watching(demo))
            async with app.run_test(size=_HEAT_SIZE) as pilot:
                await app.open_device(HOT_DEVICE)
                app.tick()
                await pilot.pause()
                app.tick()
                await pilot.pause()
                columns, lines = _HEAT_SIZE
                return [_write(out / f"heatwave-{columns}x{lines}.svg", app)]
        finally:
            await demo.stop()


def main(argv: Sequence[str] | None = None) -> int:
    """Take all pictures of the running demo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "screenshots")
    parser.add_argument("--warm", type=float, default=90.0, help="seconds before the first picture")
    parser.add_argument("--heat", type=float, default=175.0, help="seconds of heatwave")
    arguments = parser.parse_args(argv)
    paths = asyncio.run(demo_pictures(arguments.out, arguments.warm))
    paths += asyncio.run(heat_pictures(arguments.out, arguments.heat))
    drawn = list(pictures(paths))
    for path in (*paths, *drawn):
        print(path)
    # Old PNGs beside new SVGs would be two truths.
    return 0 if drawn else 1


if __name__ == "__main__":
    sys.exit(main())
