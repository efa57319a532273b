"""Other installations than the example: a GPU, more cameras, a pod for commands."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from platestream import settings
from platestream.streams.address import Address
from tests.deploy.kubernetes.manifests import (
    SERVICES,
    Document,
    allows,
    check_form,
    container,
    labels_of,
    pod,
    variables,
    workloads,
)

pytestmark = pytest.mark.xdist_group("kubernetes")  # forms of kinds take seconds to load


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
    assert variables(documents, workload)["REDIS_URL"].startswith("redis://ocr:")


def test_a_second_group_of_cameras_has_its_own(composed: Callable[..., list[Document]]) -> None:
    text = (
        "namespace: platestream\nresources: [../cameras]\nnameSuffix: -north\n"
        "secretGenerator: [{name: cameras, files: [cameras.toml], "
        "options: {disableNameSuffixHash: true}}]\n"
    )
    documents = composed(text, cameras="[cameras.north]\nsource = 'rtsp://192.0.2.20/1'\n")
    for document in documents:
        check_form(document)
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
        check_form(document)
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
