"""Tests of `devices_api` without a server and without a disk."""

from collections.abc import Iterator

import pytest
from devices_api import app
from fastapi.testclient import TestClient

PUMP = {"org": "acme", "hostname": "pump"}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("DEVICES_STORE", "memory:")
    with TestClient(app) as client:
        yield client


def test_a_device_is_found_where_the_answer_says(client: TestClient) -> None:
    added = client.post("/devices", json=PUMP)
    found = client.get(added.headers["location"])
    assert found.json() == added.json()
    assert found.headers["etag"] == added.headers["etag"]


def test_who_changes_an_old_version_is_told(client: TestClient) -> None:
    added = client.post("/devices", json=PUMP)
    path, seen = added.headers["location"], {"If-Match": added.headers["etag"]}
    assert client.put(path, json={**PUMP, "rack": "a"}, headers=seen).status_code == 200
    late = client.put(path, json={**PUMP, "rack": "b"}, headers=seen)
    assert late.status_code == 412
    assert late.headers["etag"] == client.get(path).headers["etag"]
