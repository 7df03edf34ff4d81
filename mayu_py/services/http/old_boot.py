"""What both Mayu generations served to booting machines, under the old paths: the new equivalent, or what is used instead."""

import json
from http import HTTPStatus
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, current_app, redirect, request

from mayu_py.core.settings import Image, Settings
from mayu_py.services.desk import Desk
from mayu_py.services.http.replies import client_address
from mayu_py.wire import ipxe

blueprint = Blueprint("old_boot", __name__)

# The names under which Mayu served an image's kernel and initrd.
_KERNEL = frozenset({"vmlinuz", "coreos_production_pxe.vmlinuz", "flatcar_production_pxe.vmlinuz"})
_INITRD = frozenset({"initrd.cpio.gz", "initrd", "initrd.img"})

GONE = {
    "/first-stage-script/<serial>": "the first stage is gone: iPXE asks /script, and the initrd's Ignition asks /ignition",
    "/hostinfo-helper": "the helper is gone: a machine tells its serial, uuid and MAC when it asks /script and /ignition",
    "/yochu/<path:file>": "yochu is gone: write units and files into the profile's Butane document",
}
_CLOUD = "cloud-config is gone: write a Butane document for the profile; /ignition serves what it gives"


def _settings() -> Settings:
    desk = current_app.extensions["mayu.desk"]
    assert isinstance(desk, Desk)
    return desk.settings


@blueprint.get("/")
def welcome() -> str:
    """Who answers here."""
    return "this is the boot face of mayu; iPXE starts at /boot.ipxe\n"


@blueprint.get("/ipxebootscript")
def entry() -> Response:
    """The entry script, where dnsmasq was told to find it."""
    settings = _settings()
    source = client_address(f"{request.remote_addr}:0")
    url = settings.url(settings.network_of(source) if source else None)
    return _text(HTTPStatus.OK, ipxe.entry(f"{url}/script"))


@blueprint.get("/images/<serial>/<path:file>")
@blueprint.get("/images/<file>")
def image(file: str, serial: str = "") -> Response:
    """A file of the image that a host boots: by its serial, or by the address it asks from. A redirect to the file's own path."""
    desk = current_app.extensions["mayu.desk"]
    assert isinstance(desk, Desk)
    snapshot = desk.snapshot()
    source = client_address(f"{request.remote_addr}:0")
    host = snapshot.by_ident.get(serial) or (snapshot.by_address.get(source) if source and not serial else None)
    profile = snapshot.settings.profile(host.profile or "") if host else None
    if host is None or profile is None:
        if file in _KERNEL | _INITRD:
            return _not_ready(f"no host {serial or source} with a profile is known yet")
        return _text(HTTPStatus.NOT_FOUND, f"there is no file {file!r} in image {serial!r}\n")
    name = host.image or profile.image
    served = _served_as(file, snapshot.settings.images[name])
    if served is None:
        return _text(HTTPStatus.NOT_FOUND, f"there is no file {file!r} in image {name!r}\n")
    return _moved(f"/images/{quote(name)}/{quote(served)}")


def _served_as(file: str, image: Image) -> str | None:
    if file in _KERNEL:
        return "kernel"
    if file in _INITRD:
        return "initrd"
    return next((served for served, path in image.served().items() if file in (served, path.name)), None)


@blueprint.post("/final-ignition-config.json")
def config() -> Response:
    """The config of the machine that tells its serial: where it is."""
    try:
        told = json.loads(request.get_data() or b"{}")
        serial = told["Serial"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return _text(HTTPStatus.BAD_REQUEST, 'the body tells no serial, as {"Serial": "..."} does\n')
    return _moved(f"/ignition?{urlencode({'serial': str(serial)}, errors='replace')}", HTTPStatus.SEE_OTHER)


@blueprint.post("/final-cloud-config.yaml")
def cloud_config() -> Response:
    """Gone."""
    return _text(HTTPStatus.GONE, f"{_CLOUD}\n")


for _path, _why in GONE.items():
    blueprint.add_url_rule(_path, _path, lambda _why=_why, **path: _text(HTTPStatus.GONE, f"{_why}\n"), methods=["GET"])


def _text(status: int, text: str) -> Response:
    return Response(text, status, content_type="text/plain; charset=utf-8")


def _not_ready(why: str) -> Response:
    response = _text(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}\n")
    response.headers["Retry-After"] = "2"
    return response


def _moved(to: str, status: int = HTTPStatus.TEMPORARY_REDIRECT) -> Response:
    response = redirect(to, status)
    assert isinstance(response, Response)
    return response
