"""The config files that the documentation shows are config files that mayu takes."""

import re
from pathlib import Path

import pytest
import yaml

from mayu_py import config
from mayu_py.core.inventory import configured

ROOT = Path(__file__).parents[2]
BUTANE = "variant: fcos\nversion: 1.4.0\n"


@pytest.mark.parametrize("page", ["README.md", "docs/mayu.md"])
def test_the_config_on_this_page_is_good(page: str, tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert block is not None
    text = block[1]
    data = yaml.safe_load(text)
    # The example names folders of a server; the files in them are made here, and nothing else is changed.
    for image in data["images"].values():
        text = text.replace(image["directory"], str(tmp_path / "image"))
        for name in (image["kernel"], image["initrd"], *image.get("files", {}).values()):
            (tmp_path / "image").mkdir(exist_ok=True)
            (tmp_path / "image" / name).write_bytes(b"x")
    if "tftp" in data:
        text = text.replace(data["tftp"]["root"], str(tmp_path / "tftp"))
    else:
        text += f"tftp: {{root: {tmp_path}/tftp}}\n"
    (tmp_path / "tftp").mkdir()
    for name in ("undionly.kpxe", "snponly.efi"):
        (tmp_path / "tftp" / name).write_bytes(b"x")
    for profile in data["profiles"]:
        (tmp_path / profile["ignition"]).write_text(BUTANE)
    path = tmp_path / "mayu.yaml"
    path.write_text(text)
    found, problems = config.check(path)
    assert [str(problem) for problem in problems] == []
    assert found is not None
    (host,) = configured(found.settings)
    assert any(argument.startswith("ignition.config.url=") for argument in found.renderer.arguments(host))
