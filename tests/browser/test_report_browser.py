"""report.html in a real browser: it draws, asks nobody for anything, complains about nothing."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.report.write import write_report
from nas.run_folder import RunFolder
from tests.nas_tests.report_toy import finished_run

BROWSER = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        BROWSER is None, reason="no chromium on this machine (apt install chromium)"
    ),
]
TIMEOUT_S = 120


def chromium(profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One headless start with a fresh profile that calls nobody by itself."""
    assert BROWSER is not None
    command = [
        BROWSER,
        *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--disable-dev-shm-usage", "--enable-logging=stderr", "--log-level=0"),
        f"--user-data-dir={profile}",
        "--virtual-time-budget=20000",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    made: RunFolder = finished_run(tmp_path_factory.mktemp("runs") / "toy", trials=80, fails=30)
    write_report(made, [{"name": "DeiT-like", "accuracy": 0.95, "latency_ms": 0.3}])
    return made


def complaints(log: str) -> list[str]:
    """What the page itself wrote to the console; the browser's own talk is left out."""
    return [line for line in log.splitlines() if ":CONSOLE" in line]


def test_it_draws_every_figure_without_a_complaint(folder, tmp_path):
    done = chromium(tmp_path / "profile", "--dump-dom", folder.report.as_uri())
    wanted = folder.report.read_text(encoding="utf-8").count('class="plot"')
    assert wanted == 7
    assert f'data-drawn="{wanted}"' in done.stdout
    assert len(re.findall(r'<svg class="main-svg"', done.stdout)) >= wanted
    assert len(re.findall(r'class="points?"', done.stdout)) >= wanted
    assert complaints(done.stderr) == []


def test_it_asks_nobody_for_anything(folder, tmp_path):
    """Every request goes into the browser's own log; all of them must be for the file."""
    log = tmp_path / "net.json"
    chromium(
        tmp_path / "profile",
        f"--log-net-log={log}",
        "--proxy-server=http://127.0.0.1:9",
        "--dump-dom",
        folder.report.as_uri(),
    )
    urls = set(re.findall(r'"url":"([^"]+)"', log.read_text(errors="replace")))
    # The browser's own services would be called whatever page is open.
    own = ("chrome", "file:", "data:", "blob:", "devtools:")
    google = re.compile(r"https?://([\w.-]+\.)?(google|googleapis|gstatic|gvt1)\.com[:/]")
    assert {url for url in urls if not url.startswith(own) and not google.match(url)} == set()


@pytest.fixture
def visitors() -> Iterator[tuple[str, list[str]]]:
    """A server that only listens: its address and who came."""
    came: list[str] = []

    class Door(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", came
        server.shutdown()


def test_hostile_names_neither_run_nor_call_home(folder, tmp_path, visitors):
    address, came = visitors
    evil = (
        f"</script><script>fetch('{address}/s')</script><img src='{address}/i' onerror=\"document."
        f"title='pwned'\"><a href='{address}/a'>x</a>"
    )
    other = RunFolder(tmp_path / "evil")
    shutil.copytree(folder.path, other.path)
    data = json.loads(other.front.read_text())
    data["run"] = data["created"] = data["data"]["name"] = data["counting_rule"] = evil
    data["objectives"][1]["label"] = evil
    for member in data["members"]:
        for layer in member["layers"]:
            layer["op"] = evil
        for block in member["architecture"]["stages"][0]["blocks"]:
            block["attention"]["op"] = evil
    other.front.write_text(json.dumps(data))
    write_report(other)
    done = chromium(tmp_path / "profile", "--dump-dom", other.report.as_uri())
    assert "data-drawn=" in done.stdout
    assert "<title>pwned" not in done.stdout
    assert came == []


@pytest.mark.parametrize("width", [1280, 500])
def test_it_fits_the_window(folder, tmp_path, width):
    """No sideways scrolling of the page, on a laptop and on a phone."""
    page = folder.report.with_name(f"probe{width}.html")
    probe = (
        "<script>onload=()=>setTimeout(()=>{const d=document.documentElement;"
        "d.dataset.fits=String(d.scrollWidth<=innerWidth)},3000)</script>"
    )
    text = folder.report.read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', probe, text, count=1)
    page.write_text(text, encoding="utf-8")
    shot = Path(os.environ.get("FORMFINDER_SCREENSHOTS") or tmp_path) / f"report-{width}.png"
    window = f"--window-size={width},6400"
    done = chromium(tmp_path / "profile", window, "--dump-dom", page.as_uri())
    assert 'data-fits="true"' in done.stdout
    chromium(tmp_path / "profile2", window, f"--screenshot={shot}", page.as_uri())
    assert shot.stat().st_size > 100_000
