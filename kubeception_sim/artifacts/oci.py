"""Container images written without a container engine: layers are tars, an image is a list of them and what to start.

An archive is an OCI image layout (image-spec 1.0, "Image Layout") in a tar, which `ctr images import` reads, and has the
manifest.json of `docker save` as well. Equal input gives equal bytes: entries are sorted, and
owners, times and the order of everything are fixed. Layers are not compressed: an import would spend its time on that.
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

_CREATED = "2025-01-01T00:00:00Z"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Layer:
    """A tar and the SHA-256 of its bytes in hex, which is its digest and its diff_id (image-spec, "Layer DiffID")."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class ImageSpec:
    """One image: NAME:TAG, its layers from the bottom up, and the config of its containers (image-spec, "config")."""

    name: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def config(self) -> bytes:
        """The image's config document; its digest is the image's id."""
        container: dict[str, object] = {"Env": [f"{key}={value}" for key, value in {"PATH": _PATH, **self.env}.items()]}
        if self.entrypoint:
            container["Entrypoint"] = list(self.entrypoint)
        return _json(
            {
                "architecture": "amd64",
                "os": "linux",
                "created": _CREATED,
                "config": container,
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.sha256}" for layer in self.layers]},
            }
        )

    def manifest(self) -> bytes:
        """The manifest; its digest is what NAME@sha256:... refers to."""
        layers = [_descriptor(_LAYER, layer.sha256, layer.path.stat().st_size) for layer in self.layers]
        config = self.config()
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": _descriptor(_CONFIG, _sha256(config), len(config)),
                "layers": layers,
            }
        )


def write_layer(path: Path, files: Mapping[str, Path]) -> Layer:
    """A layer of `files`: path in the image -> file, link or folder here. All belongs to root; missing folders are made.

    Modes are 0755 for folders and programs and 0644 for the rest: the umask of whoever made the files has no part in it.
    """
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        entries = dict(_expanded(files))
        for name in sorted({*entries, *_parents(entries)}):
            _add(tar, name, entries.get(name))
    return layer_of(path)


def write_root(path: Path, root: Path, *, newest: float) -> Layer:
    """A layer of a root file system as it is: owners by number, modes, links of both kinds, times.

    Times after `newest`, seconds since the epoch, become EPOCH: they say when somebody unpacked. Those before stay, because
    Python believes a .pyc by the time of its source. Extended attributes are left out. Raises ValueError for a device.
    """
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for found in sorted(root.rglob("*")):
            info = tar.gettarinfo(found, str(found.relative_to(root)))
            if not (info.isfile() or info.isdir() or info.issym() or info.islnk()):
                raise ValueError(f"{found}: neither file, folder nor link")
            info.uname = info.gname = ""
            info.mtime = EPOCH if info.mtime > newest else int(info.mtime)
            if info.isreg():
                with found.open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)
    return layer_of(path)


def layer_of(path: Path) -> Layer:
    """A tar that is there already; all of it is read."""
    with path.open("rb") as file:
        return Layer(path, hashlib.file_digest(file, "sha256").hexdigest())


def write_archive(path: Path, images: Sequence[ImageSpec]) -> None:
    """One archive of all the images, each layer in it once."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        _add_bytes(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add_bytes(tar, "index.json", _index(images))
        _add_bytes(tar, "manifest.json", _json([_docker(image) for image in images]))
        documents = {_sha256(text): text for image in images for text in (image.config(), image.manifest())}
        for sha256, text in sorted(documents.items()):
            _add_bytes(tar, _blob(sha256), text)
        layers = {layer.sha256: layer for image in images for layer in image.layers}
        for sha256, layer in sorted(layers.items()):
            _add_file(tar, _info(_blob(sha256), tarfile.REGTYPE, 0o644), layer.path)


def _index(images: Sequence[ImageSpec]) -> bytes:
    entries = []
    for image in images:
        manifest = image.manifest()
        # containerd takes the name from the first, others from the second, which is the tag alone (image-spec, "Annotations").
        names = {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name.rpartition(":")[2]}
        platform = {"architecture": "amd64", "os": "linux"}
        entries.append({**_descriptor(_MANIFEST, _sha256(manifest), len(manifest)), "annotations": names, "platform": platform})
    return _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries})


def _docker(image: ImageSpec) -> dict[str, object]:
    layers = [_blob(layer.sha256) for layer in image.layers]
    return {"Config": _blob(_sha256(image.config())), "RepoTags": [image.name], "Layers": layers}


def _descriptor(media_type: str, sha256: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": f"sha256:{sha256}", "size": size}


def _blob(sha256: str) -> str:
    return f"blobs/sha256/{sha256}"


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
        executable = source.stat().st_mode & stat.S_IXUSR
        _add_file(tar, _info(name, tarfile.REGTYPE, 0o755 if executable else 0o644), source)


def _add_file(tar: tarfile.TarFile, info: tarfile.TarInfo, source: Path) -> None:
    with source.open("rb") as file:
        info.size = os.fstat(file.fileno()).st_size
        tar.addfile(info, file)


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = _info(name, tarfile.REGTYPE, 0o644)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _info(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, EPOCH
    return info
