"""Values, secrets and certificates become a config: its id is that of the content, and no message has a key."""

import copy
import json
from typing import Any
from urllib.parse import unquote

import pytest

from ignition.document import DocumentError
from kubeception_sim.agents.issue.render import render
from kubeception_sim.agents.issue.step import with_secrets
from kubeception_sim.agents.issue.wanted import Certificate, Wanted

KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n"
TEMPLATE = """\
variant: fcos
version: 1.4.0
storage:
  files:
    - path: /etc/hostname
      contents: {inline: "{{ host.name }} {{ config_id }} {{ values.kubernetes.domain }}"}
    - path: /etc/kubelet.key
      mode: 0600
      contents: {inline: "{{ values.pki.kubelet.key | secret }}"}
"""
VALUES: dict[str, Any] = {"host": {"name": "worker-0"}, "values": {"kubernetes": {"domain": "cluster.local"}}}
PAIRS = {"kubelet": {"cert": "a certificate\n", "key": KEY}}


def contents(config: bytes) -> dict[str, str]:
    files = json.loads(config)["storage"]["files"]
    return {file["path"]: unquote(file["contents"]["source"].removeprefix("data:,")) for file in files}


def test_a_certificate_s_key_is_where_the_template_has_it() -> None:
    assert contents(render(TEMPLATE, VALUES, PAIRS))["/etc/kubelet.key"] == KEY


def test_the_id_of_a_config_is_that_of_all_that_it_is_made_of() -> None:
    def named(template: str, values: dict[str, Any], pairs: dict[str, dict[str, str]]) -> str:
        return contents(render(template, values, pairs))["/etc/hostname"].split()[1]

    other = copy.deepcopy(VALUES)
    other["values"]["kubernetes"]["domain"] = "example.org"
    first = named(TEMPLATE, VALUES, PAIRS)
    assert len(first) == 16
    assert named(TEMPLATE, copy.deepcopy(VALUES), dict(PAIRS)) == first
    ids = {
        first,
        named(f"{TEMPLATE}# changed\n", VALUES, PAIRS),
        named(TEMPLATE, other, PAIRS),
        named(TEMPLATE, VALUES, {"kubelet": {"cert": "another\n", "key": KEY}}),
    }
    assert len(ids) == 4


def test_what_is_wrong_with_a_template_is_told_without_its_keys() -> None:
    broken = TEMPLATE.replace("mode: 0600", "mode: '{{ values.pki.kubelet.key }}'")
    with pytest.raises(DocumentError) as found:
        render(broken, VALUES, PAIRS)
    said = "\n".join(map(str, found.value.problems))
    assert said
    assert not [line for line in KEY.splitlines() if line in said]


def test_secrets_are_a_part_of_the_cluster_s_values_and_change_no_others() -> None:
    values = copy.deepcopy(VALUES)
    whole = with_secrets(values, [{"ca": "one"}, {"bootstrap_token": "abc", "ca": "two"}])
    assert whole["values"]["kubernetes"] == {"domain": "cluster.local", "ca": "two", "bootstrap_token": "abc"}
    assert whole["host"] == VALUES["host"]
    assert values == VALUES


def test_what_is_asked_for_is_read_as_it_was_written() -> None:
    body = {"common_name": "system:node:worker-0"}
    text = json.dumps(
        {
            "namespace": "clusters",
            "creation_path": "auth/token/create/blue-worker-0",
            "role": "worker",
            "secrets": ["secrets-blue/worker"],
            "certificates": [{"name": "kubelet", "mount": "pki-blue", "role": "worker-0-kubelet", "body": body}],
        }
    )
    certificate = Certificate("kubelet", "pki-blue", "worker-0-kubelet", body)
    assert certificate.path == "pki-blue/issue/worker-0-kubelet"
    expected = Wanted("clusters", "auth/token/create/blue-worker-0", "worker", ("secrets-blue/worker",), (certificate,))
    assert Wanted.read(text) == expected


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"certificates": [{"name": "kubelet"}]}', '{"certificates": 1}'])
def test_what_is_nothing_of_the_kind_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Wanted.read(text)
