"""The manifests of the example are true of this project."""

from __future__ import annotations

import base64
import re
import threading
import urllib.error
import urllib.request
from importlib import import_module
from pathlib import Path

import fakeredis
import pytest
import typer
from prometheus_client.parser import text_string_to_metric_families

from platestream import cameras_file, settings, streams
from platestream.health import Health
from platestream.metrics import Metrics, Readiness, Surroundings
from platestream.observation import observed
from platestream.settings import HttpSettings, Settings
from tests.deploy.kubernetes.manifests import (
    DEPLOY,
    SERVICES,
    Document,
    check_names,
    container,
    labels_of,
    mounted,
    only,
    pod,
    selects,
    variables,
    workloads,
)
from tests.platestream.test_observation import free_port


def test_all_services_are_there_and_redis(documents: list[Document]) -> None:
    assert set(workloads(documents)) == SERVICES | {"redis"}


def test_images_are_those_that_compose_builds_and_pulls(documents: list[Document]) -> None:
    compose = (DEPLOY.parent / "docker-compose.yml").read_text()
    known = set(re.findall(r"image: (\S+)", compose))
    assert {container(w)["image"] for w in workloads(documents).values()} <= known


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_commands_and_settings_are_ones(
    documents: list[Document], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = workloads(documents)[name]
    service, *words = container(workload)["args"]
    assert service == name
    module = import_module(f"services.{service}.__main__")
    app = typer.Typer()
    app.command()(getattr(module, f"_{service}"))
    given = typer.main.get_command(app).make_context(service, list(words)).params
    if service != "ocr":
        folder = given["cameras"].parent
        assert str(folder) in {m["mountPath"] for m in container(workload)["volumeMounts"]}
        assert str(given["cameras"]) in mounted(documents, workload)

    given_variables = variables(documents, workload)
    assert "change-me" not in str(given_variables)
    for variable, value in given_variables.items():
        monkeypatch.setenv(variable, value)
        if variable.startswith("PLATESTREAM_"):
            section, _, leaf = variable.removeprefix("PLATESTREAM_").lower().partition("__")
            model = Settings.model_fields[section].annotation
            assert leaf in getattr(model, "model_fields", {}), variable
    loaded = settings.load()
    assert (loaded.redis.url, loaded.redis.username) == ("redis://redis:6379/0", name)
    files = mounted(documents, workload)
    passwords = {path: text for path, (text, _) in files.items() if "change-me" in text}
    assert list(passwords) == [str(loaded.redis.password_file)]
    assert passwords[str(loaded.redis.password_file)].startswith(f"change-me-{name}")
    assert pod(workload)["securityContext"]["fsGroup"], "whose files of mode 0440 are"
    assert loaded.streams.pixels == "jpeg"
    assert loaded.http.host == "0.0.0.0"
    (port,) = container(workload)["ports"]
    assert port == {"name": "http", "containerPort": loaded.http.port}


def test_the_file_of_cameras_is_good(documents: list[Document]) -> None:
    data = only(documents, "Secret", "cameras")["data"]["cameras.toml"]
    cameras = cameras_file.parse(base64.b64decode(data), Path("cameras.toml"))
    assert set(cameras) == {"gate-1", "gate-2"}
    words = container(workloads(documents)["writer"])["args"]
    output = Settings().writer.model_copy(update={"output": words[1]})
    cameras_file.check_outputs(cameras, output, Path("cameras.toml"))


def test_what_is_asked_over_http_is_answered(documents: list[Document]) -> None:
    """Probes and Prometheus ask for paths that a service has."""
    monitor = only(documents, "PodMonitor", "platestream")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    asked = {endpoint["path"]}
    for name in SERVICES:
        workload = workloads(documents)[name]
        assert selects(monitor["spec"]["selector"], labels_of(workload))
        assert endpoint["port"] in {p["name"] for p in container(workload)["ports"]}
        probes = {kind: container(workload)[f"{kind}Probe"]["httpGet"] for kind in
                  ("liveness", "readiness")}  # fmt: skip
        assert probes["liveness"]["path"] == "/healthz"
        assert probes["readiness"]["path"] == "/readyz"
        assert {probe["port"] for probe in probes.values()} == {"http"}
        asked |= {probe["path"] for probe in probes.values()}
    port = free_port()
    here = Settings(http=HttpSettings(port=port))
    with observed(Metrics("ocr", "gate-1"), Health(30), here, threading.Event()):
        for path in asked:
            try:
                status = urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20).status
            except urllib.error.HTTPError as error:
                status = error.code
            assert status in (200, 503), path


def test_keda_asks_for_a_metric_that_ocr_has(documents: list[Document]) -> None:
    scaled = only(documents, "ScaledObject", "ocr")["spec"]
    assert scaled["scaleTargetRef"]["name"] in workloads(documents)
    assert "replicas" not in workloads(documents)["ocr"]["spec"]
    (trigger,) = scaled["triggers"]
    query = trigger["metadata"]["query"]
    (found,) = re.findall(r"(platestream_\w+){(.*?)}", query)
    name, wanted = found[0], dict(re.findall(r'(\w+)="(.*?)"', found[1]))
    assert wanted.pop("namespace") == "platestream"  # Prometheus adds it

    client = fakeredis.FakeRedis()
    for frame_id in range(1, 8):
        client.xadd(streams.frames_key("gate-1"), {"frame_id": frame_id}, id=f"{frame_id}-0")
    client.hset(streams.camera_key("gate-1"), "last_frame_id", "7")
    streams.ensure_group(client, streams.frames_key("gate-1"), streams.OCR)
    client.xreadgroup(streams.OCR, "one", {streams.frames_key("gate-1"): ">"}, count=2)
    metrics = Metrics("ocr", "gate-1")
    Surroundings(metrics, client, lambda: True, lambda: Readiness(True))
    text = metrics.expose()[0].decode()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    (sample,) = [s for s in samples if s.name == name and wanted.items() <= s.labels.items()]
    assert sample.value == 5
    assert set(re.findall(r"by \((\w+)\)", query)) <= set(sample.labels)
    # a camera of 25 fps whose lag is half of what comes in 200 ms, in the mean
    assert float(trigger["metadata"]["threshold"]) == 25 * 0.2 / 2
    # one that is lost or has ended has no part in the mean
    assert re.fullmatch(r"avg\(max by .*\) > 0\)", query.strip())
    # of a file the lag comes no further than the window: a threshold above would never be reached
    assert float(trigger["metadata"]["threshold"]) < Settings().streams.window_frames


def test_what_is_named_is_there(documents: list[Document]) -> None:
    check_names(documents)
