"""The application over HTTP: who may ask, what is answered to hostile runs, what is imported."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from nas.dashboard import fronts
from nas.dashboard.command import PORT, parse
from nas.dashboard.events import applied, point_of, since
from nas.dashboard.jobs import Jobs
from nas.dashboard.panels.architecture import details
from nas.dashboard.panels.drawn import FIGURES, LABELS
from nas.dashboard.panels.trade_off import values_of
from nas.dashboard.server import make_app
from nas.dashboard.state import State, home_of
from nas.dashboard.sync import view_after
from nas.dashboard.view import DRAWN, View
from nas.front import Front
from search_spaces.errors import UserError
from tests.nas_tests.report_toy import architecture, finished_run

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    finished_run(folder / "good", trials=30, fails=20)
    bad = folder / "bad"
    shutil.copytree(folder / "good", bad)
    front = json.loads((bad / "front.json").read_text())
    for member in front["members"]:
        stage = member["architecture"]["stages"][0]
        stage["width"] = 10**9
        stage["blocks"][0]["attention"] |= {"op": EVIL, "heads": 10**9, "head_dim": -4}
        member["layers"] = [{**layer, "name": "../" * 50, "op": EVIL} for layer in member["layers"]]
        member["metrics"]["accuracy"] |= {"low": EVIL, "source": 5, "predicted": EVIL}
        member["metrics"][EVIL] = {"value": "NaN", "kind": EVIL}
    front["profile"] |= {"key": "../../../etc/passwd", "runtime": EVIL}
    front["limits"] = {"accuracy": EVIL, "latency_ms": {"max": [1]}}
    (bad / "front.json").write_text(json.dumps(front))
    (bad / "proxies.json").write_text('{"table": [7, {"group": "all", "tau": 1, "proxy": ["x"]}]}')
    (bad / "baselines.json").write_text(json.dumps({"baselines": [{"name": EVIL, "accuracy": 1}]}))
    (bad / "space.json").write_text('{"a":' * 20_000)
    return folder


@pytest.fixture(scope="module")
def served(places):
    state, jobs = State([places]), Jobs()
    yield state, make_app(state, jobs).server.test_client()
    jobs.close()


def call(client, output: str, inputs: list, states: list, changed: list[str], **headers):
    """One callback, as the page would ask for it."""
    outputs = [
        {"id": part.rpartition(".")[0], "property": part.rpartition(".")[2].partition("@")[0]}
        for part in output.strip(".").split("...")
    ]
    headers = {"Host": "127.0.0.1", **headers}
    body = {
        "output": output,
        "outputs": outputs if "..." in output else outputs[0],
        "inputs": inputs,
        "state": states,
        "changedPropIds": changed,
    }
    return client.post("/_dash-update-component", json=body, headers=headers)


def value(name: str, prop: str, given: object) -> dict:
    return {"id": name, "property": prop, "value": given}


def front_of(client, view: dict, selection: dict):
    inputs = [value("view", "data", view), value("selection", "data", selection)]
    inputs += [value("version", "data", "1")]
    output = _output(client, "..front.figure...drawn-key.data")
    return call(client, output, inputs, [value("drawn-key", "data", None)], ["view.data"])


@pytest.mark.parametrize("key", ["good", "bad"])
@pytest.mark.parametrize("values", ["measured", "predicted", "both"])
def test_the_front_is_drawn(served, key, values):
    _, client = served
    view = {"runs": [key], "x": "latency_ms", "y": "accuracy", "values": values}
    answer = front_of(client, {**view, "flags": ["logx", "trials", "stars"]}, {})
    assert answer.status_code == 200
    figure = answer.get_json()["response"]["front"]["figure"]
    assert any(trace.get("name") for trace in figure["data"])
    assert EVIL not in json.dumps(figure)


def test_thousands_of_trials_come_behind_the_fronts(served, monkeypatch):
    """The first answer has the fronts alone and asks for the rest; later ones have all."""
    monkeypatch.setattr("nas.dashboard.fronts.SVG_POINTS", 20)
    client = served[1]
    view = {"runs": ["good"], "flags": ["logx", "trials"]}
    first = front_of(client, view, {}).get_json()["response"]
    due = first["trials-due"]["data"]
    assert not drawn_trials(first)
    states = [value("view", "data", view), value("selection", "data", {})]
    output = _output(client, "front.figure@")
    second = call(client, output, [value("trials-due", "data", due)], states, ["trials-due.data"])
    assert drawn_trials(second.get_json()["response"])
    assert due == first["drawn-key"]["data"]


def drawn_trials(response: dict) -> list[dict]:
    return [t for t in response["front"]["figure"]["data"] if "trials" in t.get("name", "")]


@pytest.mark.parametrize("tab", ["search", "layers", "genes", "predictors", "images", "table"])
@pytest.mark.parametrize("key", ["good", "bad"])
def test_every_tab_answers(served, tab, key):
    client = served[1]
    output = _output(client, "..content.children")
    inputs = [value("view", "data", {"runs": [key], "tab": tab}), value("drawn-key", "data", "1")]
    inputs += [value("selection", "data", {})]
    states = [value("gene", "options", []), value("content-key", "data", None)]
    answer = call(client, output, inputs, states, ["view.data"])
    assert answer.status_code == 200
    assert "content" in answer.get_json()["response"] or tab == "images"


@pytest.mark.parametrize("key", ["good", "bad"])
@pytest.mark.parametrize("drawn", DRAWN)
def test_everything_drawn_is_a_table_and_a_file(served, places, drawn, key):
    client = served[1]
    digest = Front.load(places / key / "front.json").members[0].digest
    view = {"runs": [key], "tab": "table", "drawn": drawn}
    selection = {"point": f"{key}|{digest}"}
    inputs = [value("view", "data", view), value("drawn-key", "data", "1")]
    inputs += [value("selection", "data", selection)]
    states = [value("gene", "options", []), value("content-key", "data", None)]
    output = _output(client, "..content.children")
    answer = call(client, output, inputs, states, ["view.data"]).get_json()["response"]
    assert answer["table-controls"]["hidden"] is False
    assert all(answer[name]["hidden"] for name in ("genes-controls", "images-controls"))
    text = json.dumps(answer["content"])
    if key == "good" and drawn not in ("noise", "fidelity"):  # which it did not measure
        assert '"Table"' in text
        clicks, states = [value("csv", "n_clicks", 1)], inputs[:1] + inputs[2:]
        known = client.get("/_dash-dependencies", headers={"Host": "127.0.0.1"}).get_json()
        name = next(one["output"] for one in known if one["inputs"][0]["id"] == "csv")
        saved = call(client, name, clicks, states, ["csv.n_clicks"])
        rows = list(csv.reader(saved.get_json()["response"]["download"]["data"]["content"]))
        assert len(rows) > 1


def test_every_table_has_a_name_on_the_page():
    assert tuple(LABELS) == DRAWN
    assert FIGURES.keys() == LABELS.keys() - {"members", "architecture"}


def _output(client, start: str) -> str:
    """The whole name of the callback whose outputs begin so."""
    known = client.get("/_dash-dependencies", headers={"Host": "127.0.0.1"}).get_json()
    return next(entry["output"] for entry in known if entry["output"].startswith(start))


@pytest.mark.parametrize("key", ["good", "bad"])
def test_a_chosen_architecture_is_shown(served, places, key):
    client = served[1]
    member = Front.load(places / key / "front.json").members[0]
    selection = {"point": f"{key}|{member.digest}", "pin": f"good|#{3}"}
    inputs = [value("selection", "data", selection), value("version", "data", "1")]
    output = _output(client, "..title.children")
    answer = call(client, output, inputs, [value("details", "data-of", None)], ["selection.data"])
    assert answer.status_code == 200
    assert member.digest in answer.get_data(as_text=True)


def test_what_is_not_there_is_not_found(served):
    state, _ = served
    for text in ("", "good", "good|", "ghost|1", "good|../x", "good|#99999999999999", "good|#x"):
        assert state.find(text) is None
    assert state.find("good|#3").trial.number == 3


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "127.0.0.1:8050"}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1:8050", "Origin": "http://127.0.0.1:8050"}, 200),
        ({"Host": "127.0.0.1:8050", "Origin": "http://evil.example"}, 403),
    ],
)
def test_others_pages_are_refused(served, headers, code):
    assert served[1].get("/", headers=headers).status_code == code


def test_the_page_names_no_other_address(served):
    answer = served[1].get("/", headers={"Host": "127.0.0.1"})
    text = answer.get_data(as_text=True)
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["/files/x/best.json", "/files/../best.json", "/files/x/..%2f..%2fetc%2fpasswd"]
)
def test_only_files_of_known_jobs_are_served(served, path):
    answer = served[1].get(path, headers={"Host": "127.0.0.1"})
    # What is no file of a job at all is the page.
    assert answer.status_code == 404 or b"react-entry-point" in answer.data


def test_words_of_the_command(tmp_path):
    words = parse([str(tmp_path), "--port", "0", "--host=0.0.0.0"])
    assert (words.places, words.host, words.port) == ((tmp_path,), "0.0.0.0", 0)
    assert parse([str(tmp_path)]).port is None
    assert PORT == 8050


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["nowhere"], "'nowhere': no such folder"),
        (["--prot=1"], "--port"),
        (["--port", "many"], "--port='many': allowed is a number from 0 to 65535"),
        (["--port"], "--port: its value is missing"),
        ([], "no folder 'runs' here"),
    ],
)
def test_words_that_cannot_be_read(args, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=None) as caught:
        parse(args)
    assert told in str(caught.value)


def test_neither_torch_nor_ray_is_loaded(places):
    code = (
        "import sys; from pathlib import Path\n"
        "from nas.dashboard.jobs import Jobs\n"
        "from nas.dashboard.server import make_app\n"
        "from nas.dashboard.state import State\n"
        f"state = State([Path({str(places)!r})])\n"
        "client = make_app(state, Jobs()).server.test_client()\n"
        "assert client.get('/_dash-layout', headers={'Host': 'localhost'}).status_code == 200\n"
        "loaded = {'torch', 'ray', 'optuna', 'onnx'} & set(sys.modules)\n"
        "sys.exit(str(loaded) if loaded else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_star_is_an_architecture_that_can_be_chosen(places, tmp_path):
    """A click on it names the run and the star; one whose net nobody knows chooses nothing."""
    run = tmp_path / "starred"
    shutil.copytree(places / "good", run)
    net = architecture(32, [(0, 2, 1, 0)])
    rows = [
        {"name": "<b>DeiT-like</b>", "architecture": net.to_dict(), "accuracy": {"value": 0.5}},
        {"name": "ghost", "accuracy": 0.9},
    ]
    (run / "baselines.json").write_text(json.dumps({"baselines": rows}))
    state = State([run])
    figure = fronts.front_of(state, View(x="accuracy"))
    star = next(trace for trace in figure.data if trace.name == "baselines")
    clicks = [{"points": [{"customdata": custom}]} for custom in star.customdata]
    known, ghost = (state.find(point_of(click, ["starred"])) for click in clicks)
    assert known.architecture == net
    assert values_of(known) == {"accuracy": 0.5}
    assert "baseline" in str(details(state, known, None))
    assert home_of(known, state.runs()) is None  # nothing of it is trained here: no export
    assert ghost is None


def test_a_job_says_how_it_ended(tmp_path):
    jobs = Jobs()
    try:
        job = jobs.start_cli("help", ["describe", str(tmp_path / "nowhere")], tmp_path)
        job.process.wait(60)
        assert job.state == "failed"
        assert "no such file or run folder" in job.said()
        assert jobs.get("guess") is None
    finally:
        jobs.close()
    assert not jobs.folder.exists()


def test_members_of_a_merged_front_are_exported_by_the_run_they_came_from(places, tmp_path):
    merged = tmp_path / "merged"
    shutil.copytree(places / "good", merged)
    front = json.loads((merged / "front.json").read_text())
    front["members"][0]["origin"] = {"run": "good", "path": str(places / "good")}
    front["members"][1]["origin"] = {"run": "other", "path": "/etc"}
    (merged / "front.json").write_text(json.dumps(front))
    state = State([merged, places / "good"])
    digests = [member["digest"] for member in front["members"][:3]]
    homes = [home_of(state.find(f"merged|{digest}"), state.runs()) for digest in digests]
    assert [home and home.path for home in homes] == [places / "good", None, merged]


def clicked_on(part, value, prop="clickData"):
    points = {"points": [{"customdata": value}]}
    return {"id": part, "prop": prop, "value": points if prop == "clickData" else value}


def chosen(place):
    return clicked_on(json.dumps({"type": "choose", "place": place}), 1, "n_clicks")


def numbered(*events):
    return [{**event, "n": n} for n, event in enumerate(events, 1)]


def test_everything_the_user_did_since_counts_in_its_order():
    """A request that was overtaken leaves its events to the next one."""
    done = numbered(
        clicked_on("front", {"0": "good", "1": "abc"}),  # as a typed array comes back
        clicked_on("pin", 1, "n_clicks"),
        chosen("good|#3"),
        clicked_on("front", {"xaxis.range": [0, 1], "yaxis.range": [2, 3]}, "relayoutData"),
        clicked_on(json.dumps({"type": "chart", "name": "importance"}), ["stage0.width"]),
    )
    news, last = since(done, None)
    whole = applied(View(), news, ["good"])
    assert whole == View(point="good|#3", pin="good|abc", zoom="0,1,2,3", gene="stage0.width")
    assert last == 5
    assert since(done, 5) == ([], 5)
    later, _ = since(done, 2)
    first, _ = since(done[:2], 0)
    assert applied(applied(View(), first, ["good"]), later, ["good"]) == whole


@pytest.mark.parametrize(
    "hostile",
    [
        None,
        "text",
        [1, {"n": "2"}, {"n": 1}],
        numbered({"id": "{", "prop": "n_clicks", "value": 1}),
        numbered(clicked_on("front", ["other", "abc"]), clicked_on("front", [7, 0])),
        numbered({"id": "front", "prop": "relayoutData", "value": {"xaxis.range[0]": "x"}}),
        numbered({"id": ["front"], "prop": None, "value": {}}),
    ],
)
def test_events_that_mean_nothing_change_nothing(hostile):
    assert applied(View(), since(hostile, 0)[0], ["good"]) == View()


def test_the_page_is_told_by_what_it_holds():
    """Whatever caused the request: the address if it is new, else the controls and the events."""
    before = View(x="params", zoom="0,1,2,3", point="good|abc")
    same = {"x": "params", "tab": "search"}
    asked = before.query()
    assert view_after(None, asked, {}, [], ["good"]) == before
    assert view_after(before, asked, same, [], ["good"]) == before
    assert view_after(before, "?tab=genes", same, [], ["good"]) == View(tab="genes")
    moved = view_after(before, asked, {"x": "macs", "tab": "table"}, [], ["good"])
    assert moved == View(x="macs", tab="table", point="good|abc")  # a zoom is one of its axes
    press = numbered(chosen("good|#3"))
    assert view_after(before, asked, same, press, ["good"]).point == "good|#3"


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_to_and_leaves_nothing_behind(places, tmp_path, sign):
    code = "import sys; from nas.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "dashboard", str(places), "--port", "0"],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        text=True,
    )
    with process:
        assert "http://127.0.0.1:" in process.stdout.readline()
        assert list(tmp_path.iterdir()), "where results are kept while it runs"
        process.send_signal(sign)
        assert process.wait(60) == 0
    assert not list(tmp_path.iterdir())
