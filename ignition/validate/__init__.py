"""What `ignition-validate` says about a config, for specs 3.0 to 3.3: verdict, messages and places."""

from ignition.validate.config import UNSUPPORTED_VERSION, Report, check, validate, validate_document
from ignition.validate.dataurls import BadURL, decode_data_url

__all__ = ["UNSUPPORTED_VERSION", "BadURL", "Report", "check", "decode_data_url", "validate", "validate_document"]
