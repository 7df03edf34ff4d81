"""The admin face does what its OpenAPI document says: for the requests that it allows, and for those that it does not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from mayu_py.core.access import Credentials
from mayu_py.errors import ConfigError
from mayu_py.services.http import admin
from mayu_py.services.http.admin import CREDENTIALS, ENDPOINTS
from mayu_py.store import ReloadOutcome, WorkerStatus
from tests.integration.http_face import Faces, faces, tokens

EXAMPLES = settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
KNOWN = {"ident": "KC-1", "serial": "KC-2", "file": "mayu.yaml"}


def application(face: Faces) -> Any:
    """The admin face, as its server would call it."""

    def wsgi(environ: dict[str, Any], start_response: Any) -> Any:
        credentials = Credentials(authorization=environ.get("HTTP_AUTHORIZATION"))
        return face.admin({**environ, CREDENTIALS: credentials}, start_response)

    return wsgi


def reload(text: str, by: str) -> None:
    """As the server does with a config that is wrong."""
    raise ConfigError("mayu.yaml:1: this is wrong")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("known", [KNOWN, {}], ids=["known", "any"])
def test_the_face_does_what_its_document_says(tmp_path: Path, mode: GenerationMode, known: Mapping[str, str]) -> None:
    with faces(tmp_path, tokens(files=str(tmp_path))) as face:
        face.desk.store.set_workers([WorkerStatus("admin-1", 1, True, 0)])
        face.admin.extensions[admin.RELOAD] = reload
        face.admin.extensions[admin.REREAD] = lambda by: ReloadOutcome(True, 2)
        schema = schemathesis.openapi.from_wsgi("/openapi.json", application(face))
        exercised = set()
        for found in schema.get_all_operations():
            operation: Any = found.ok()  # type: ignore[union-attr]  # An invalid document raises here.
            mine = {name: value for name, value in known.items() if f"{{{name}}}" in operation.path}
            if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
                continue
            _exercise(operation, mode, mine)
            exercised.add((operation.method.upper(), operation.path))
        documented = {(method.upper(), path) for path, ways in schema.raw_schema["paths"].items() for method in ways}
        assert len(documented) == len(ENDPOINTS)
        # Schemathesis leaves out where the document itself is.
        assert exercised == documented - {("GET", "/openapi.json")} or (mode is GenerationMode.NEGATIVE and exercised)


def _exercise(operation: Any, mode: GenerationMode, path: Mapping[str, str]) -> None:
    # Mayu's answer to an unknown host is 400, and its bodies have rules that no schema tells: a config, a list of `key=value`.
    excluded = [positive_data_acceptance] if "Mayu" in operation.tags else []

    @EXAMPLES
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=dict(path) or None))
    def run(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": "Bearer token-of-boss"}, excluded_checks=excluded)

    run()
