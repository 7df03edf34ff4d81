"""The templates of `mayu init`, filled: for one host, in networks of each kind. ROLE.ign beside this module is a rendered one.

`python -m tests.golden.roles.cases` writes those anew.
"""

import json
from pathlib import Path
from typing import Any

from ignition.document import load, to_data
from ignition.render import Template
from mayu_py.cli.init import ROLES, TEMPLATES
from mayu_py.core.render import Renderer, ServedConfig
from mayu_py.core.settings import Image, NetworkFiles, Profile, Settings
from tests.golden.nics.cases import CASES, HOST

HERE = Path(__file__).parent
VALUES: Any = to_data(load((HERE / "values.yaml").read_text(), "values.yaml"))


def renderer(role: str, case: str, files: NetworkFiles, values: Any = VALUES) -> Renderer:
    profile = Profile("node", "testbed", Path(f"{role}.bu"), values=values, network_files=files)
    settings = Settings(networks=CASES[case], images={"testbed": Image(Path("image"))}, profiles=(profile,))
    template = Template.parse((TEMPLATES / f"{role}.bu").read_text(), f"{role}.bu")
    return Renderer(settings, {"node": template})


def rendered(role: str, case: str = "static", files: NetworkFiles = NetworkFiles.NONE) -> ServedConfig:
    return renderer(role, case, files).config(HOST)


def shown(role: str) -> str:
    """The golden file: as people see it."""
    return json.dumps(json.loads(rendered(role).redacted), indent=2) + "\n"


if __name__ == "__main__":
    for each in ROLES:
        (HERE / f"{each}.ign").write_text(shown(each))
