"""The web programs of docs/examples, behind real servers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from tests.examples.programs import EXAMPLES, environment, serving

pytestmark = pytest.mark.timeout(60)

PUMP = {"org": "acme", "hostname": "pump"}


def until(condition: Callable[[], bool], *, within_s: float = 10) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.005)


# --- devices, with FastAPI ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """Two workers on one file, for all tests of the module: each has an organization of its own."""
    arguments = ("uvicorn", "devices_api:app", "--workers", "2", "--port", "0")
    with (
        serving(*arguments, where=tmp_path_factory.mktemp("devices"), workers=2, DEVICES_STORE="lmdb:./devices") as url,
        httpx2.Client(base_url=url, timeout=20) as client,
    ):
        yield client


def test_workers_share_devices_and_refuse_what_was_decided_on_old_ones(devices: httpx2.Client) -> None:
    added = devices.post("/devices", json=PUMP)
    assert added.status_code == 201
    path, etag = added.headers["location"], added.headers["etag"]
    with ThreadPoolExecutor(8) as threads:  # each with a connection of its own, so both workers are asked
        seen = list(threads.map(lambda _: httpx2.get(f"{devices.base_url}{path}").headers["etag"], range(32)))
    assert set(seen) == {etag}

    changed = devices.put(path, json={**PUMP, "rack": "a"}, headers={"If-Match": etag})
    assert (changed.status_code, changed.json()["rack"]) == (200, "a")
    late = devices.put(path, json={**PUMP, "rack": "b"}, headers={"If-Match": etag})
    assert (late.status_code, late.headers["etag"]) == (412, changed.headers["etag"])

    assert devices.delete(path).status_code == 204
    assert devices.delete(path).status_code == 404
    assert devices.get(path).status_code == 404


def test_of_many_who_change_a_device_at_once_one_wins(devices: httpx2.Client) -> None:
    added = devices.post("/devices", json=PUMP)
    path, etag = added.headers["location"], added.headers["etag"]

    def change(number: int) -> int:
        body = {**PUMP, "rack": str(number)}
        return httpx2.put(f"{devices.base_url}{path}", json=body, headers={"If-Match": etag}).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(change, range(16))) == [200] + [412] * 15


def test_pages_of_devices_follow_each_other(devices: httpx2.Client) -> None:
    for number in range(60):
        devices.post("/devices", json={"org": "many", "hostname": f"pump-{number:02}"})
    first = devices.get("/devices", params={"org": "many"}).json()
    second = devices.get("/devices", params={"org": "many", "after": first["next"]}).json()
    names = [item["hostname"] for item in first["items"] + second["items"]]
    assert (len(first["items"]), names) == (50, [f"pump-{number:02}" for number in range(60)])
    assert (second["next"], second["complete"]) == (None, True)


def test_devices_exchange_their_places(devices: httpx2.Client) -> None:
    one, two = (devices.post("/devices", json={**PUMP, "rack": rack}).json()["id"] for rack in "ab")
    assert devices.post(f"/devices/{one}/exchange/{two}").status_code == 204
    assert [devices.get(f"/devices/{id}").json()["rack"] for id in (one, two)] == ["b", "a"]
    assert devices.post(f"/devices/{one}/exchange/acme.nothing").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/devices/nonsense", None, 422),
        ("GET", "/devices?org=acme&after=nonsense", None, 422),
        ("POST", "/devices", {**PUMP, "org": "Acme & Co"}, 422),
        ("POST", "/devices", {**PUMP, "id": "other.pump"}, 422),
        ("POST", "/devices", {**PUMP, "rack": "x" * 2_000_000}, 413),
    ],
    ids=["id", "cursor", "organization", "partition", "size"],
)
def test_what_cannot_be_is_refused(
    devices: httpx2.Client, method: str, path: str, body: dict[str, str] | None, status: int
) -> None:
    assert devices.request(method, path, json=body).status_code == status


# --- the dashboard, with server-sent events ----------------------------------------------------------------------


class Dashboard:
    """The program in a server of this process, so that its observers can be counted."""

    def __init__(self) -> None:
        from dashboard import app

        self._app = app
        self._states: list[dict[str, Any]] = []
        self._server = uvicorn.Server(uvicorn.Config(self, port=0, log_level="warning", timeout_graceful_shutdown=5))
        self._thread = threading.Thread(target=self._server.run)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self._states.append(scope["state"])
        await self._app(scope, receive, send)

    def __enter__(self) -> Dashboard:
        self._thread.start()
        until(lambda: self._server.started)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *error: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    @property
    def is_observed(self) -> bool:
        return bool(self._states[0]["data"]._hub.is_busy)


@pytest.fixture
def dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dashboard]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("QUAKES_STORE", f"lmdb:{tmp_path / 'quakes'}")
    with Dashboard() as running:
        yield running


@contextmanager
def watching(dashboard: Dashboard) -> Iterator[Iterator[dict[str, Any]]]:
    """What a browser is told, until it goes."""
    with httpx2.stream("GET", f"{dashboard.url}/strongest", timeout=20) as response:
        lines = response.iter_lines()
        yield (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))


def test_browsers_are_told_of_strong_earthquakes(dashboard: Dashboard) -> None:
    with watching(dashboard) as told:
        assert next(told) == {"quakes": [], "new": [], "complete": True}
        for place, mag in (("Castaic", 2.1), ("Tonga", 5.1)):
            httpx2.post(f"{dashboard.url}/quakes", json={"net": "us", "place": place, "mag": mag})
        second = next(told)
        assert second["quakes"] == [{"place": "Tonga", "mag": 5.1}]
        assert len(second["new"]) == 1


def test_a_browser_that_goes_leaves_no_observer_behind(dashboard: Dashboard) -> None:
    with watching(dashboard) as told:
        next(told)
        assert dashboard.is_observed
    until(lambda: not dashboard.is_observed)


def test_a_server_that_stops_does_not_wait_for_browsers(tmp_path: Path) -> None:
    """Without the option it would, as long as they look."""
    arguments = ("uvicorn", "dashboard:app", "--port", "0", "--timeout-graceful-shutdown", "1")
    with ExitStack() as browser:
        with serving(*arguments, where=tmp_path, QUAKES_STORE="lmdb:./quakes") as url:
            response = browser.enter_context(httpx2.stream("GET", f"{url}/strongest", timeout=20))
            assert next(response.iter_lines()) == "event: quakes"
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(url)


# --- tools, with Django ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """Django's own server answers each request in a thread; each test has a shop of its own."""
    arguments = ("django", "runserver", "--noreload", "--skip-checks", "--settings", "workshop.settings", "127.0.0.1:0")
    with (
        serving(*arguments, where=tmp_path_factory.mktemp("tools"), WORKSHOP_TIERS="lmdb:./near lmdb:./office") as url,
        httpx2.Client(base_url=url, timeout=20) as client,
    ):
        yield client


def test_of_many_who_ask_for_a_tool_one_gets_it(tools: httpx2.Client) -> None:
    added = tools.post("/shops/bergen/tools/add", data={"code": "drill", "name": "Drill"})
    assert (added.status_code, added.json()["id"]) == (201, "bergen.drill")

    def ask(number: int) -> int:
        return httpx2.post(f"{tools.base_url}/tools/bergen.drill/lend", data={"to": f"person-{number}"}).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(ask, range(24))) == [204] + [409] * 23


def test_tools_are_handed_over_together(tools: httpx2.Client) -> None:
    for code in ("drill", "hammer", "saw"):
        tools.post("/shops/oslo/tools/add", data={"code": code, "name": code.title()})
    for code in ("drill", "saw"):
        tools.post(f"/tools/oslo.{code}/lend", data={"to": "ada"})
    assert tools.post("/shops/oslo/hand-over", data={"from": "ada", "to": "bob"}).status_code == 204
    shown = tools.get("/shops/oslo/tools").json()
    assert [(tool["name"], tool["lent_to"]) for tool in shown["tools"]] == [
        ("Drill", "bob"),
        ("Hammer", None),
        ("Saw", "bob"),
    ]


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/tools/oslo.nothing/lend", {"to": "ada"}, 404),
        ("/tools/nonsense/lend", {"to": "ada"}, 422),
        ("/shops/oslo/tools/add", {"code": "not a suffix", "name": "Drill"}, 422),
    ],
    ids=["unknown", "id", "code"],
)
def test_errors_of_the_layer_have_their_status(
    tools: httpx2.Client, path: str, form: dict[str, str], status: int
) -> None:
    assert tools.post(path, data=form).status_code == status


FORKED = """
import os
import tierfold
from workshop.wsgi import application
from django.test import Client

children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        added = Client().post("/shops/oslo/tools/add", {"code": f"drill-{number}", "name": "Drill"})
        os._exit(added.status_code != 201)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
print(len(Client().get("/shops/oslo/tools").json()["tools"]))

if os.fork() == 0:
    try:
        Client().get("/shops/oslo/tools")
    except tierfold.StoreForkedError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""


def test_workers_that_are_forked_open_the_store_themselves(tmp_path: Path) -> None:
    """As of a server that imports the program before it forks; what the parent opened is not for its children."""
    variables = environment(WORKSHOP_TIERS="lmdb:./workshop")
    command = [sys.executable, "-c", FORKED]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    shown, _, refused = done.stdout.partition("\n")
    assert shown == "3", done.stderr
    assert "post_fork" in refused
