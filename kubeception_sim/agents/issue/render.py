"""Role template and values to an Ignition config. Pure; needs nothing but `ignition`."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ignition.document import DocumentError
from ignition.render import Template
from ignition.secrets import SHORTEST, Secret

FILE = "role.bu"


def render(template: str, values: Mapping[str, Any], certificates: Mapping[str, Mapping[str, str]]) -> bytes:
    """The config. Raises DocumentError with every problem, secrets masked.

    `values` are the template's variables: `host`, `values`, and what else it has. `certificates` {name: {cert, key}} are its
    `values.pki`; `config_id` is added, 16 hex digits over all that the config is made of.
    """
    compiled = Template.parse(template, FILE)
    keys = {name: {"cert": pair["cert"], "key": pair["key"]} for name, pair in certificates.items()}
    whole = {**values, "values": {**values["values"], "pki": keys}}
    text = json.dumps(whole, sort_keys=True)
    config_id = hashlib.sha256(f"{compiled.sha256}\n{text}".encode()).hexdigest()[:16]
    rendered = compiled.render({**_masked(whole), "config_id": config_id})
    if rendered.report.is_fatal:
        raise DocumentError(rendered.report.problems)
    return rendered.config


def _masked(value: Any, *, key: str = "") -> Any:
    """With private keys and tokens as secrets, so that no message has them."""
    match value:
        case dict():
            return {name: _masked(each, key=name) for name, each in value.items()}
        case str() if key in ("key", "bootstrap_token") and len(value.strip()) >= SHORTEST:
            return Secret(value)
        case _:
            return value
