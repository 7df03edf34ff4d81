"""What `ignition-validate` says about a config, for specs 3.0 to 3.3: verdict, messages and places."""

from ignition.rules.config import UNSUPPORTED_VERSION, Parsed, Report, check, parse, parse_document, validate, validate_document
from ignition.rules.dataurls import BadURL, decode_data_url

__all__ = [
    "UNSUPPORTED_VERSION",
    "BadURL",
    "Parsed",
    "Report",
    "check",
    "decode_data_url",
    "parse",
    "parse_document",
    "validate",
    "validate_document",
]
