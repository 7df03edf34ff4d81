"""Rules for what is served: listeners, boot files, images."""

from collections.abc import Iterator

from ignition.document import Problem
from mayu_py.config.findings import URL_NAME
from mayu_py.core.settings import Image, Settings


def _listeners(settings: Settings) -> Iterator[Problem]:
    http = settings.http
    if not 1 <= http.port <= 65535:
        yield http.origin.error(f"{http.port} is no TCP port", "port", hint="1 to 65535; 4081 is the default")
    if not 1 <= http.workers <= 64:
        yield http.origin.error(f"{http.workers} HTTP workers", "workers", hint="1 to 64; 2 is the default")


def _boot_files(settings: Settings) -> Iterator[Problem]:
    root, origin = settings.tftp.root, settings.tftp.origin
    if not root.is_dir():
        yield origin.error(f"there is no folder {root}", "root", hint="apt-get install ipxe puts boot files in /usr/lib/ipxe")
        return
    for key in ("bios", "uefi_x64"):
        name = getattr(settings.boot, key)
        file = root / name
        if file.is_file() and not file.resolve().is_relative_to(root.resolve()):
            # TFTP never leaves its root, and Debian's ipxe.efi is a link to /boot.
            yield settings.boot.origin.error(
                f"{file} is a link to {file.resolve()}, outside of tftp.root", key, hint="copy the file into the folder"
            )
        elif not file.is_file():
            found = ", ".join(sorted(file.name for file in root.iterdir() if file.suffix in (".kpxe", ".efi", ".pxe")))
            yield settings.boot.origin.error(f"there is no file {name} in {root}", key, hint=f"there are: {found or 'none'}")


def _images(settings: Settings) -> Iterator[Problem]:
    for name, image in settings.images.items():
        if not URL_NAME.fullmatch(name):
            yield image.origin.error(f"{name!r} cannot stand in a URL", hint="letters, digits, '.', '_' and '-'")
        for served, file in image.served().items():
            if not URL_NAME.fullmatch(served):
                yield image.origin.error(f"{served!r} cannot stand in a URL", "files", served)
            if not file.is_file():
                yield image.origin.error(f"there is no file {file}", *_image_key(image, served))


def _image_key(image: Image, served: str) -> tuple[str, ...]:
    return ("files", served) if served in image.files else (served,)


RULES = (_listeners, _boot_files, _images)
