"""Rules for what is served: listeners, boot files, images."""

from collections.abc import Iterator

from ignition.document import Problem
from mayu_py.config.findings import URL_NAME
from mayu_py.core.discovery import LARGEST, TOKEN
from mayu_py.core.firmware import BOOT_FILES
from mayu_py.core.settings import Image, Settings


def _listeners(settings: Settings) -> Iterator[Problem]:
    http = settings.http
    if not 1 <= http.port <= 65535:
        yield http.origin.error(f"{http.port} is no TCP port", "port", hint="1 to 65535; 4081 is the default")
    if not 1 <= http.workers <= 64:
        yield http.origin.error(f"{http.workers} HTTP workers", "workers", hint="1 to 64; 2 is the default")


def _tftp_limits(settings: Settings) -> Iterator[Problem]:
    tftp = settings.tftp
    # A transfer has two sockets and a file, and the kernel gives a process 2**20 of them at most.
    if not 1 <= tftp.max_sessions <= 100_000:
        yield tftp.origin.error(f"{tftp.max_sessions} transfers", "max_sessions", hint="1 to 100000; 2048 is the default")
    if not 1 <= tftp.max_per_client <= tftp.max_sessions:
        hint = "1 to max_sessions; 16 is the default"
        yield tftp.origin.error(f"{tftp.max_per_client} transfers for one client", "max_per_client", hint=hint)


def _etcd_discovery(settings: Settings) -> Iterator[Problem]:
    known = settings.etcd_discovery
    if known.token is not None and not TOKEN.fullmatch(known.token):
        hint = "32 lower-case hex digits: `openssl rand -hex 16` makes one"
        yield known.origin.error("the token is none of etcd's discovery", "token", hint=hint)
    if not 1 <= known.size <= LARGEST:
        yield known.origin.error(f"{known.size} members", "size", hint=f"1 to {LARGEST}; 3 is the default")


def _boot_files(settings: Settings) -> Iterator[Problem]:
    root, origin = settings.tftp.root, settings.tftp.origin
    if not root.is_dir():
        yield origin.error(f"there is no folder {root}", "root", hint="apt-get install ipxe puts boot files in /usr/lib/ipxe")
        return
    for key in sorted(set(BOOT_FILES.values())):
        name = getattr(settings.boot, key)
        if name is None:
            continue
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
                key = _image_key(image, served)
                hint = f"put it there, or change `directory` or `{'.'.join(key)}`"
                yield image.origin.error(f"there is no file {file}", *key, hint=hint)


def _image_key(image: Image, served: str) -> tuple[str, ...]:
    return ("files", served) if served in image.files else (served,)


RULES = (_listeners, _tftp_limits, _etcd_discovery, _boot_files, _images)
