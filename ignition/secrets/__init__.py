"""Which texts are secret, and how they are kept out of what people read.

Secret is what somebody marked (`Secret`), and what the schema of a config says is secret, marked or not:

    passwordHash                        of users and groups
    keyFile                             of a LUKS volume: its data URL or inline text, and its hash
    httpHeaders[].value                 of everything that is fetched
    clevis.custom.config                a pin's own configuration, which may hold anything
    https://USER:PASSWORD@host          whatever stands before the @ of a URL
    https://host/?X-Amz-Signature=...   a query's values whose names speak of keys, tokens, signatures or passwords

A redacted text is for reading. `***` stands where a secret stood, in each of these spellings:

    as it is, escaped for JSON (up to three times), percent-encoded (all or some of its characters, once or more often)
    in base64, either alphabet, wherever in the encoded text it begins, on one line or on many
    inside a data URL of any encoding, gzip included: it is opened, redacted and closed again; bad gzip goes whole

What is compressed or encrypted outside of data URLs is not looked into.
"""

from ignition.secrets.redaction import Secrets
from ignition.secrets.schema import mask_url, redact_config, redact_data, schema_secrets
from ignition.secrets.secret import MARK, SHORTEST, Secret
from ignition.secrets.urls import gunzip

__all__ = [
    "MARK",
    "SHORTEST",
    "Secret",
    "Secrets",
    "gunzip",
    "mask_url",
    "redact_config",
    "redact_data",
    "schema_secrets",
]
