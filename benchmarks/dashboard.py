"""How long the dashboard takes to show and to refresh a study of many trials.

    uv run python benchmarks/dashboard.py RUN [--trials 20000] [--refreshes 10]

RUN is a finished run; its trials are repeated with other values until there are enough, in a copy.
The copy is served by the command itself and opened in a real headless Chromium:

- ``start``: from the command to the printed address, all journals read;
- ``first paint``: from opening the address to the drawn fronts and the status strip;
- ``all trials``: from opening the address to all trials drawn behind the fronts;
- ``refresh``: from the request that finds a new batch of trials to the redrawn trade-off.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

BATCH = 6
MAIN = "import sys; from nas.cli import main; sys.exit(main())"
# Notes when requests begin, when plotly has drawn, and in which frame there were fronts and status
# strip, and all trials: on the page's own clock, which starts with the navigation.
PROBE = """
window.asked = []; window.drawn = []; window.seen = {};
const fetched = window.fetch;
window.fetch = (url, options) => {
  if (options && options.body) window.asked.push([performance.now(), String(options.body)]);
  return fetched(url, options);
};
const watch = setInterval(() => {
  const plot = document.querySelector('#front .js-plotly-plot');
  if (!plot || !plot.on) return;
  clearInterval(watch);
  window.drawn.push(performance.now());
  plot.on('plotly_afterplot', () => {
    window.drawn.push(performance.now());
    const trials = plot._fullData.filter(trace => trace.type === 'scattergl')
      .reduce((sum, trace) => sum + trace.x.length, 0);
    if (trials > COUNT) note('trials');
  });
}, 5);
function note(name) {  // once the frame that shows it has been drawn
  if (!(name in window.seen)) requestAnimationFrame(() => setTimeout(() => {
    window.seen[name] = window.seen[name] || performance.now();
  }));
}
(function look() {
  const there = document.querySelector('#front .scatterlayer .points path')
    && document.querySelector('.status-row');
  if (there) note('fronts'); else requestAnimationFrame(look);
})();
"""


def grown(run: Path, target: Path, count: int) -> list[bytes]:
    """Copy ``run`` with ``count`` trials; returns lines to append later."""
    ignore = shutil.ignore_patterns("*.safetensors", "*.onnx", "*.html", "picks", "study.journal")
    shutil.copytree(run, target, ignore=ignore)
    lines = (run / "study.journal").read_bytes().splitlines(keepends=True)
    head, records = lines[:3], [json.loads(x) for x in lines if b'"op_code":4' in x[:80]]
    rng = random.Random(0)
    made = []
    for place in range(count + 1000):
        record = records[place % len(records)]
        metrics = record["user_attrs"]["metrics"]
        factor, fall = rng.uniform(0.95, 1.4), rng.uniform(0.93, 1.0)
        new = {**record, "user_attrs": {**record["user_attrs"], "metrics": dict(metrics)}}
        if record["values"]:
            new["values"] = [record["values"][0] * fall, record["values"][1] * factor]
            new["values"] += record["values"][2:]
        for name, by in (("accuracy", fall), ("latency_ms", factor)):
            if name in metrics:
                new["user_attrs"]["metrics"][name] = metrics[name] * by
        made.append(json.dumps(new, separators=(",", ":")).encode() + b"\n")
    (target / "study.journal").write_bytes(b"".join([*head, *made[:count]]))
    return made[count:]


def paint(page: Page, address: str) -> tuple[float, float]:
    """Seconds from opening the page to its fronts and status strip, and to all trials."""
    page.goto(address, wait_until="commit")
    page.wait_for_function("seen.fronts && seen.trials")
    fronts, trials = page.evaluate("[seen.fronts, seen.trials]")
    return fronts / 1000, trials / 1000


def refresh(page: Page, journal: Path, lines: list[bytes]) -> float:
    """Seconds from asking what is new to having drawn it."""
    before: dict[str, Any] = page.evaluate("({drawn: drawn.length, now: performance.now()})")
    with journal.open("ab") as file:
        file.write(b"".join(lines))
    page.wait_for_function(f"drawn.length > {before['drawn']}")
    return float(
        page.evaluate(
            """(now) => {
              const end = drawn.find(t => t > now);
              const ticks = asked.filter(a => a[0] > now && a[0] < end &&
                                              a[1].includes('"output":"..version.data'));
              return (end - ticks[ticks.length - 1][0]) / 1000;
            }""",
            before["now"],
        )
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--refreshes", type=int, default=10)
    parser.add_argument("--browser", default=shutil.which("chromium"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        target = Path(folder) / "large"
        more = grown(options.run, target, options.trials)
        size = (target / "study.journal").stat().st_size / 1e6
        began = time.perf_counter()
        command = [sys.executable, "-c", MAIN, "dashboard", str(target), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found is not None
            started = time.perf_counter() - began
            browser = driver.chromium.launch(executable_path=options.browser, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1366, "height": 768})
            # Some break a limit, some failed, some are members: half is surely beyond these.
            page.add_init_script(PROBE.replace("COUNT", str(options.trials // 2)))
            paints = [paint(page, found[0]) for _ in range(3)]
            refreshes = []
            for turn in range(options.refreshes):
                lines = more[turn * BATCH : (turn + 1) * BATCH]
                refreshes.append(refresh(page, target / "study.journal", lines))
            browser.close()
        finally:
            server.terminate()
            server.wait()
    print(f"{options.trials:,} trials, journal {size:.0f} MB")
    print(f"start        {started:.2f} s")
    for place, label in enumerate(("first paint", "all trials")):
        first, *again = (times[place] for times in paints)
        print(f"{label:12} {first:.2f} s, again {min(again):.2f} s")
    print(f"refresh      median {statistics.median(refreshes):.3f} s, worst {max(refreshes):.3f} s")


if __name__ == "__main__":
    main()
