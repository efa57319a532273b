"""Other installations than the example: a GPU, more cameras, a pod for commands."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from platestream import settings
from tests.deploy.kubernetes.manifests import (
    DEPLOY,
    SERVICES,
    Document,
    allows,
    check_form,
    check_names,
    container,
    labels_of,
    mounted,
    only,
    pod,
    render,
    selects,
    variables,
    workloads,
)


def test_ocr_goes_to_nodes_with_a_gpu(composed: Callable[..., list[Document]]) -> None:
    documents = composed("resources: [../example]\ncomponents: [../components/gpu]\n")
    for document in documents:
        check_form(document)
    workload = workloads(documents)["ocr"]
    spec, one = pod(workload), container(workload)
    assert one["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert one["resources"]["requests"]["cpu"] == "1"
    assert spec["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert variables(documents, workload)["PLATESTREAM_OCR__DEVICE"] == "cuda"
    assert variables(documents, workload)["PLATESTREAM_REDIS__USERNAME"] == "ocr"
    check_names(documents)


def test_two_groups_of_cameras_stand_side_by_side(tmp_path: Path) -> None:
    """A copy of the example and in it a second group, by the page's own commands."""
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    mine = tmp_path / "deploy" / "kubernetes" / "mine"
    shutil.copytree(DEPLOY / "kubernetes" / "example", mine)
    page = (DEPLOY.parent / "docs" / "kubernetes.md").read_text()
    (commands,) = re.findall(
        r"^```\n(cd deploy/kubernetes/mine\n.*?)kubectl apply", page, re.M | re.S
    )
    subprocess.run(["sh", "-ec", commands], cwd=tmp_path, check=True)
    (mine / "north" / "cameras.toml").write_text(
        '[cameras.north]\nsource = "rtsp://192.0.2.20/1"\n'
    )
    documents = render(mine)
    for document in documents:
        check_form(document)
    cameras = SERVICES - {"ocr"}
    groups = {f"{name}{suffix}" for name in cameras for suffix in ("", "-north")}
    assert set(workloads(documents)) == groups | {"ocr", "redis"}
    check_names(documents)
    pods = {name: labels_of(workload) for name, workload in workloads(documents).items()}
    for name in cameras:
        workload = workloads(documents)[f"{name}-north"]
        text, _ = mounted(documents, workload)["/etc/platestream/cameras/cameras.toml"]
        assert "[cameras.north]" in text
        assert allows(documents, pods[f"{name}-north"], pods["redis"], "redis")
    monitor = only(documents, "PodMonitor", "platestream")["spec"]["selector"]
    assert all(selects(monitor, labels) for name, labels in pods.items() if name != "redis")


def test_commands_have_a_pod_with_the_user_run(
    composed: Callable[..., list[Document]], monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = composed(
        "namespace: platestream\nresources: [../example]\ncomponents: [../components/commands]\n"
    )
    for document in documents:
        check_form(document)
    workload = workloads(documents)["commands"]
    for variable, value in variables(documents, workload).items():
        monkeypatch.setenv(variable, value)
    loaded = settings.load().redis
    assert loaded.username == "run"
    assert mounted(documents, workload)[str(loaded.password_file)][0] == "change-me-run-0"
    check_names(documents)
    redis_pod = labels_of(workloads(documents)["redis"])
    assert allows(documents, labels_of(workload), redis_pod, "redis")
    spec, one = pod(workload), container(workload)
    assert one["image"] == "platestream:base"
    ocr = workloads(documents)["ocr"]
    for name in ("automountServiceAccountToken", "enableServiceLinks", "securityContext"):
        assert spec[name] == pod(ocr)[name]
    assert one["securityContext"] == container(ocr)["securityContext"]
    assert "memory" in one["resources"]["limits"]
