"""The manifests have the form of their kinds: Kubernetes's, KEDA's, the Prometheus operator's."""

from __future__ import annotations

import jsonschema
import pydantic
import pytest
import yaml

from tests.deploy.kubernetes.manifests import (
    Document,
    check_form,
)


def test_documents_have_their_kinds_form(documents: list[Document]) -> None:
    for document in documents:
        check_form(document)


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
        check_form(document)
