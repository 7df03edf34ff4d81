"""Container images written without a container engine: layers are tars, an image is a list of them and what to start.

The archive is the one that `docker save` writes and `ctr images import`, `docker load` and `podman load` read. Equal files give
equal bytes: entries are sorted, and owners, times and the order of everything are fixed.
"""

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

EPOCH = 1_735_689_600  # 2025-01-01, as in the testbed's recipe


@dataclass(frozen=True)
class Layer:
    """A tar and the SHA-256 of its bytes in hex: its diff_id (OCI image spec, "Layer DiffID")."""

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "Layer":
        """A tar that is there already."""
        with path.open("rb") as file:
            return cls(path, hashlib.file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True)
class ImageSpec:
    """One image: NAME:TAG, its layers from the bottom up, and the config of its containers (OCI image spec, "config")."""

    name: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""

    def config(self) -> bytes:
        """The image's config document; its digest is the image's id."""
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **self.env}
        container: dict[str, object] = {"Env": [f"{key}={value}" for key, value in environment.items()]}
        if self.entrypoint:
            container["Entrypoint"] = list(self.entrypoint)
        if self.user:
            container["User"] = self.user
        document = {
            "architecture": "amd64",
            "os": "linux",
            "created": "2025-01-01T00:00:00Z",
            "config": container,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.sha256}" for layer in self.layers]},
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def write_layer(path: Path, files: Mapping[str, Path]) -> Layer:
    """A layer of `files`: path in the image -> file, link or folder here. All belongs to root; missing folders are made."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        entries = dict(_expanded(files))
        for name in sorted({*entries, *_parents(entries)}):
            _add(tar, name, entries.get(name))
    return Layer.of(path)


def write_archive(path: Path, images: Sequence[ImageSpec]) -> None:
    """One archive of all the images, each layer in it once."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        layers = {layer.sha256: layer for image in images for layer in image.layers}
        for sha256, layer in sorted(layers.items()):
            info = _info(f"{sha256}.tar", tarfile.REGTYPE, 0o644)
            info.size = layer.path.stat().st_size
            with layer.path.open("rb") as file:
                tar.addfile(info, file)
        manifest = []
        for image in images:
            config = image.config()
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add_bytes(tar, name, config)
            manifest.append(
                {"Config": name, "RepoTags": [image.name], "Layers": [f"{layer.sha256}.tar" for layer in image.layers]}
            )
        _add_bytes(tar, "manifest.json", json.dumps(manifest, separators=(",", ":")).encode())


def _expanded(files: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    for name, source in files.items():
        yield name.strip("/"), source
        if source.is_dir() and not source.is_symlink():
            for path in source.rglob("*"):
                yield f"{name.strip('/')}/{path.relative_to(source)}", path


def _parents(names: Iterable[str]) -> set[str]:
    return {str(parent) for name in names for parent in Path(name).parents if str(parent) != "."}


def _add(tar: tarfile.TarFile, name: str, source: Path | None) -> None:
    if source is None or (source.is_dir() and not source.is_symlink()):
        tar.addfile(_info(name, tarfile.DIRTYPE, 0o755))
    elif source.is_symlink():
        info = _info(name, tarfile.SYMTYPE, 0o777)
        info.linkname = os.readlink(source)
        tar.addfile(info)
    else:
        mode = source.stat().st_mode
        info = _info(name, tarfile.REGTYPE, 0o755 if mode & stat.S_IXUSR else 0o644)
        info.size = source.stat().st_size
        with source.open("rb") as file:
            tar.addfile(info, file)


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = _info(name, tarfile.REGTYPE, 0o644)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _info(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, EPOCH
    return info
