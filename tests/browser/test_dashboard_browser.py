"""The dashboard in a real browser, served by its own command."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from nas.export.best import read_architecture
from nas.front import Front
from tests.nas_tests.report_toy import finished_run

playwright = pytest.importorskip("playwright.sync_api")
BROWSER = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        BROWSER is None, reason="no chromium on this machine (apt install chromium)"
    ),
]
MAIN = "import sys; from nas.cli import main; sys.exit(main())"
MS = 60_000
EVIL = (
    "</script><img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, one that goes on, and one that somebody made up."""
    folder = tmp_path_factory.mktemp("runs")
    finished_run(folder / "first", trials=60, fails=30, limit=0.3)
    shutil.copytree(folder / "first", folder / "second")
    live = folder / "live"
    live.mkdir()
    shutil.copy(folder / "first" / "config.yaml", live)
    lines = (folder / "first" / "study.journal").read_bytes().splitlines(keepends=True)
    (live / "study.journal").write_bytes(b"".join(lines[:30]))
    _make_evil(folder / "first", folder / f"evil {EVIL.replace('/', '')}"[:120])
    return folder


def _make_evil(good: Path, bad: Path) -> None:
    shutil.copytree(good, bad)
    front = json.loads((bad / "front.json").read_text())
    front["run"] = front["created"] = front["profile"]["runtime"] = EVIL
    front["objectives"][1]["label"] = EVIL
    for member in front["members"]:
        for layer in member["layers"]:
            layer["op"] = EVIL
        for block in member["architecture"]["stages"][0]["blocks"]:
            block["attention"]["op"] = EVIL
        del member["digest"]
    for member in front["members"]:
        member["digest"] = ""
    (bad / "front.json").write_text(json.dumps(front))


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    """Where the command serves."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "dashboard", str(runs), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield re.search(r"http://127\.0\.0\.1:\d+", line)[0]
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def page(browser, address) -> Iterator[object]:
    """A page that may ask nobody else for anything and must not complain."""
    made = browser.new_page(viewport={"width": 1366, "height": 900})
    made.set_default_timeout(MS)
    told: list[str] = []
    asked: list[str] = []
    made.on("console", lambda m: told.append(m.text) if m.type == "error" else None)
    made.on("pageerror", lambda error: told.append(str(error)))
    made.on("request", lambda request: asked.append(request.url))
    yield made
    own = (address, "data:", "blob:", "about:")
    assert {url for url in asked if not url.startswith(own)} == set()
    assert told == []
    made.close()


def opened(page, address: str, query: str = "?runs=first&runs=second") -> None:
    page.goto(address + "/" + query)
    page.wait_for_selector("#front .scatterlayer .points path", state="attached")


def query_of(page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def choose(page, name: str, label: str) -> None:
    """Pick an entry of a dropdown."""
    page.click(f"#{name}")
    page.locator(".dash-dropdown-content").get_by_text(label, exact=True).click()
    page.keyboard.press("Escape")


def click_member(page, runs: Path, key: str) -> str:
    """Click the marker of a front member, by the place plotly gives it. Returns its digest."""
    members = [m.digest for m in Front.load(runs / key / "front.json").members]
    spot = page.evaluate(
        """([key, digests]) => {
          const plot = document.querySelector('#front .js-plotly-plot');
          const layout = plot._fullLayout, box = plot.getBoundingClientRect();
          for (const trace of plot.calcdata) for (const point of trace) {
            const data = point.data;
            if (!Array.isArray(data) || data[0] !== key || !digests.includes(data[1])) continue;
            const x = layout.xaxis.c2p(point.x), y = layout.yaxis.c2p(point.y);
            if (x < 0 || y < 0 || x > layout.xaxis._length || y > layout.yaxis._length) continue;
            return [box.x + layout.xaxis._offset + x, box.y + layout.yaxis._offset + y];
          }
        }""",
        [key, members],
    )
    page.mouse.move(*spot)
    page.wait_for_selector("#front .hoverlayer .hovertext")  # what plotly would take a click for
    page.mouse.down()
    page.mouse.up()
    page.wait_for_selector("#drawing .main-svg")
    return page.inner_text("#title .digest")


def test_it_opens_and_draws_the_runs_of_the_address(page, address):
    opened(page, address)
    assert page.title() == "Formfinder"
    assert page.locator(".status-row").count() == 2
    assert "done 60" in " ".join(page.inner_text(".status-row >> nth=0").split())
    words = page.inner_text("#front")
    assert "first" in words
    assert "limit: latency" in words


def test_plotly_is_asked_for_once_and_early(page, address):
    """The page preloads it by the address that Dash uses later."""
    opened(page, address)
    entries = page.evaluate(
        "performance.getEntriesByType('resource').filter(e => e.name.includes('/plotly.min.js'))"
        ".map(e => e.initiatorType)"
    )
    assert entries == ["link"]


def test_runs_are_selected_and_axes_changed(page, address):
    opened(page, address, "")
    choose(page, "runs", "first")
    page.wait_for_function("document.querySelectorAll('.status-row').length === 1")
    choose(page, "x", "parameters")
    page.wait_for_function("document.querySelector('#front .xtitle').textContent.includes('param')")
    page.get_by_text("log y", exact=True).click()
    page.wait_for_function("document.querySelector('#front .ytitle').textContent.includes('log')")
    assert query_of(page) == {
        "runs": ["first"],
        "x": ["params"],
        "flags": ["logx logy trials stars"],
    }


def test_a_click_shows_the_architecture_and_its_json_validates(page, address, runs):
    opened(page, address, "?runs=first")
    digest = click_member(page, runs, "first")
    assert page.locator("#layer-costs .main-svg").count() >= 1
    assert f"member={digest}" in page.inner_text("#details")
    with page.expect_download() as waiting:
        page.click("#json")
    data = json.loads(Path(waiting.value.path()).read_text())
    assert read_architecture(data, Path("download")).digest() == digest


def test_what_is_drawn_can_be_read_and_saved(page, address):
    """A table by the address, another by its list, and the file of all its rows."""
    opened(page, address, "?runs=first&tab=table&drawn=hypervolume")
    page.wait_for_selector("#content th >> text=finished trials")
    choose(page, "drawn", "trade-off, every point")
    page.wait_for_selector("#content th >> text=latency [ms]")
    assert query_of(page)["drawn"] == ["trade-off"]
    with page.expect_download() as waiting:
        page.click("#csv")
    lines = Path(waiting.value.path()).read_text().splitlines()
    assert waiting.value.suggested_filename == "trade-off.csv"
    assert lines[0] == "what,latency [ms],accuracy,more"
    assert sum("trial" in line for line in lines) > 10


def test_a_pinned_architecture_is_compared_with_another(page, address, runs):
    opened(page, address, "?runs=first&tab=table")
    buttons = page.locator("#content button.link")
    buttons.nth(0).focus()
    page.keyboard.press("Enter")  # the table is the way without a mouse
    page.wait_for_selector("#drawing .main-svg")
    page.wait_for_selector("#content button.chosen")
    first = buttons.nth(0).inner_text()
    assert page.inner_text("#content button.chosen") == first
    assert page.evaluate("document.activeElement.textContent") == first  # Tab goes on from there
    page.click("#pin")
    page.wait_for_selector("#unpin:enabled")
    buttons.nth(3).click()
    page.wait_for_selector("text=Genes that differ from pinned")
    one, other = query_of(page)["pin"][0], query_of(page)["point"][0]
    assert one != other


def test_reload_keeps_the_view(page, address, runs):
    opened(page, address, "?runs=first&x=params&tab=genes")
    digest = click_member(page, runs, "first")
    page.evaluate(
        "Plotly.relayout(document.querySelector('#front .js-plotly-plot'),"
        "{'xaxis.range[0]':4,'xaxis.range[1]':5,'yaxis.range[0]':0.5,'yaxis.range[1]':0.9})"
    )
    page.wait_for_function("location.search.includes('zoom')")
    before = page.url
    page.reload()
    page.wait_for_selector("#drawing .main-svg")
    page.wait_for_selector("#content .main-svg")
    assert page.url == before
    assert page.inner_text("#title .digest") == digest
    assert "parameters" in page.text_content("#front .xtitle")
    assert ranges(page) == [[4, 5], [0.5, 0.9]]


def test_what_is_overtaken_is_not_lost(page, address):
    """A press whose request waits while another goes through: Dash drops the answer to it."""
    opened(page, address, "?runs=first&tab=table")
    page.wait_for_selector("#content button.link")
    held = []

    def hold_the_first(route):
        if not held and "url.search" in (route.request.post_data_json or {}).get("output", ""):
            held.append(route)
        else:
            route.continue_()

    page.route("**/_dash-update-component*", hold_the_first)
    with page.expect_request("**/_dash-update-component*"):
        page.locator("#content button.link").first.press("Enter")
    page.evaluate(
        "Plotly.relayout(document.querySelector('#front .js-plotly-plot'),"
        "{'xaxis.range[0]':-1,'xaxis.range[1]':1,'yaxis.range[0]':0.5,'yaxis.range[1]':0.9})"
    )
    page.wait_for_function("location.search.includes('zoom')")
    held[0].continue_()
    page.wait_for_selector("#drawing .main-svg")
    assert query_of(page)["point"][0].startswith("first|")
    page.unroute("**/_dash-update-component*")


def test_the_model_that_explains_images_is_in_the_address(page, address):
    opened(page, address, "?tab=images&model=second%3A+best.json")
    page.wait_for_function("document.querySelector('#model').innerText.includes('second')")
    assert "model=second" in page.url
    choose(page, "model", "first: best.json")
    page.wait_for_function("location.search.includes('model=first')")


def wait_done(page, count: int) -> None:
    page.wait_for_function(
        f"document.querySelector('.status-row').textContent.includes('done {count} ')"
    )


def ranges(page) -> list[list[float]]:
    return page.evaluate(
        "(() => { const l = document.querySelector('#front .js-plotly-plot')._fullLayout;"
        "return [l.xaxis.range, l.yaxis.range].map(r => r.map(v => +v.toFixed(4))); })()"
    )


def test_it_follows_a_search_and_the_zoom_survives(page, address, runs):
    opened(page, address, "?runs=live&flags=trials")
    lines = (runs / "first" / "study.journal").read_bytes().splitlines(keepends=True)
    done = [sum(b'"op_code":4' in line[:60] for line in lines[:end]) for end in (30, 50, 51)]
    assert lines[50].count(b'"op_code":4') == 1
    assert f"done {done[0]} " in " ".join(page.inner_text(".status-row").split())
    box = page.locator("#front .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -300)
    page.wait_for_function("location.search.includes('zoom')")
    zoomed = ranges(page)
    with (runs / "live" / "study.journal").open("ab") as journal:
        journal.write(b"".join(lines[30:50]) + lines[50][:100])
    wait_done(page, done[1])
    assert ranges(page) == zoomed
    assert "searching" in page.inner_text(".status-row")
    with (runs / "live" / "study.journal").open("ab") as journal:
        journal.write(lines[50][100:])
    wait_done(page, done[2])


def test_names_from_files_run_nothing(page, address, runs):
    evil = next(path.name for path in runs.iterdir() if path.name.startswith("evil"))
    opened(page, address, "?" + urlencode({"runs": evil, "tab": "table"}))
    page.locator("#content button.link").first.click()
    page.wait_for_selector("#details table")
    for tab in ("Layers", "Genes", "Predictors", "Search"):
        page.locator("#tab").get_by_text(tab, exact=True).click()
        page.wait_for_selector("#content .main-svg")
    assert page.title() == "Formfinder"
    assert page.locator("#page img").count() == 0


def test_it_fits_the_window(page, address, runs, tmp_path):
    opened(page, address, "?runs=first&runs=second")
    click_member(page, runs, "first")
    for width, height in ((1366, 768), (1920, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function(
            "document.querySelector('#front .main-svg').clientWidth > innerWidth * 0.4"
        )
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shot = Path(os.environ.get("FORMFINDER_SCREENSHOTS") or tmp_path) / f"dashboard-{width}.png"
        page.screenshot(path=str(shot))
        assert shot.stat().st_size > 20_000


def test_the_page_is_named_for_readers_and_keys(page, address):
    """Every control has a name, and the first Tab leads past the controls."""
    opened(page, address)
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, input, select, a')]
        .filter(e => e.offsetParent && e.ariaHidden !== 'true')
        .filter(e => !['aria-label', 'aria-labelledby', 'title', 'data-title', 'placeholder']
            .some(name => e.getAttribute(name)) && !e.innerText && !(e.labels || []).length)
        .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []
    offered = "[...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title)"
    assert [title for title in page.evaluate(offered) if "hare" in title] == []  # nothing leaves
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the trade-off"
