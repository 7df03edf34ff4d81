"""Ignition configs of spec 2.0 to 2.4 at random, each with the fields of its own version."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

VERSIONS = ("2.0.0", "2.1.0", "2.2.0", "2.3.0", "2.4.0")
HASH = "sha512-" + "0123456789abcdef" * 8

_SOURCES = st.sampled_from(
    ("", "data:,a", "data:;base64,YQ==", "http://10.0.0.1/x", "https://example.net/x", "tftp://10.0.0.1/x")
)
_MODES = st.sampled_from((0, 0o400, 0o644, 0o755, 0o4755))
_CONTENTS = st.sampled_from(
    ("", "[Unit]\nDescription=a\n", "[Service]\nExecStart=/bin/true\n\n[Install]\nWantedBy=default.target\n")
)
_NAMES = st.sampled_from(("core", "etcd", "operator"))
_KEYS = st.lists(st.sampled_from(("ssh-ed25519 AAAA a", "ssh-ed25519 AAAB b")), max_size=3)
_DEVICES = st.lists(st.sampled_from(("/dev/sda", "/dev/sdb", "/dev/sdc")), min_size=2, max_size=3, unique=True)


def configs(*, colliding: bool) -> st.SearchStrategy[Json]:
    """Return valid configs. Where they collide, several entries may have one name or path, which spec 3 cannot always say."""
    return st.sampled_from(range(5)).flatmap(lambda minor: _config(minor, colliding))


def configs_with_files() -> st.SearchStrategy[Json]:
    """Return configs of nothing but files, most of them at the same few paths."""

    def with_files(minor: int) -> st.SearchStrategy[Json]:
        files = st.lists(_file(minor, "/etc/f"), min_size=2, max_size=6)
        return files.map(lambda found: {"ignition": {"version": f"2.{minor}.0"}, "storage": {"files": found}})

    return st.sampled_from(range(5)).flatmap(with_files)


def configs_with_units() -> st.SearchStrategy[Json]:
    """Return configs of nothing but systemd units, most of them of the same few names."""

    def with_units(minor: int) -> st.SearchStrategy[Json]:
        units = st.lists(_unit(minor, True), min_size=2, max_size=6)
        return units.map(lambda found: {"ignition": {"version": f"2.{minor}.0"}, "systemd": {"units": found}})

    return st.sampled_from(range(5)).flatmap(with_units)


def _config(minor: int, colliding: bool) -> st.SearchStrategy[Json]:
    return _record(
        {"ignition": _ignition(minor)},
        {
            "storage": _storage(minor, colliding),
            "systemd": _record({}, {"units": _listed(_unit(minor, colliding), "name", colliding)}),
            "networkd": _record({}, {"units": _listed(_networkd_unit(minor, colliding), "name", colliding)}),
            "passwd": _record(
                {}, {"users": _listed(_user(minor), "name", colliding), "groups": _listed(_group(), "name", False)}
            ),
        },
    )


def _record(
    required: Mapping[str, st.SearchStrategy[Any]], optional: Mapping[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(dict(required), optional=dict(optional))


def _listed(items: st.SearchStrategy[Json], key: str, colliding: bool) -> st.SearchStrategy[list[Json]]:
    return st.lists(items, max_size=4, unique_by=None if colliding else lambda item: item[key].rstrip("/"))


def _since(minor: int, fields: Mapping[str, tuple[int, st.SearchStrategy[Any]]]) -> dict[str, st.SearchStrategy[Any]]:
    return {key: strategy for key, (since, strategy) in fields.items() if since <= minor}


def _ignition(minor: int) -> st.SearchStrategy[Json]:
    reference = _record(
        {"source": st.sampled_from(("http://10.0.0.1/c", "https://example.net/c"))},
        _since(
            minor,
            {
                "verification": (0, st.just({"hash": HASH})),
                "httpHeaders": (4, st.sampled_from(([], [{"name": "A", "value": "b"}], [{"name": "A", "value": ""}]))),
            },
        ),
    )
    config = _record({}, {"append": _listed(reference, "source", False), "replace": reference})
    timeouts = st.sampled_from(({}, {"httpTotal": 30}, {"httpResponseHeaders": 0}))
    security = st.builds(lambda found: {"tls": {"certificateAuthorities": found}}, _listed(reference, "source", False))
    proxy = st.sampled_from(({}, {"httpProxy": "http://p:3128", "noProxy": ["a", "a"]}))
    optional = {"config": (0, config), "timeouts": (1, timeouts), "security": (2, security), "proxy": (4, proxy)}
    return _record({"version": st.just(f"2.{minor}.0")}, _since(minor, optional))


def _storage(minor: int, colliding: bool) -> st.SearchStrategy[Json]:
    fields = {
        "files": (0, _listed(_file(minor, "/etc/f"), "path", colliding)),
        "disks": (0, st.lists(_disk(minor), max_size=1)),
        "raid": (0, st.lists(_raid(minor), max_size=1)),
        "filesystems": (0, st.lists(_filesystem(minor), max_size=1)),
        "directories": (1, _listed(_directory(minor), "path", colliding)),
        "links": (1, _listed(_link(minor), "path", colliding)),
    }
    return _record({}, _since(minor, fields))


def _node(minor: int, path: str) -> tuple[dict[str, st.SearchStrategy[Any]], dict[str, st.SearchStrategy[Any]]]:
    owner = st.sampled_from(({}, {"id": 0}, {"id": 500}) + (({"name": "core"},) if minor >= 1 else ()))
    required = {"filesystem": st.just("root"), "path": st.sampled_from([f"{path}{n}" for n in range(3)])}
    return required, {"user": owner, "group": owner}


def _file(minor: int, path: str) -> st.SearchStrategy[Json]:
    contents = _record(
        {"source": _SOURCES}, {"compression": st.sampled_from(("", "gzip")), "verification": st.just({"hash": HASH})}
    )
    required, optional = _node(minor, path)
    optional |= {"contents": contents, "mode": _MODES}
    how = st.sampled_from(({}, {"overwrite": True}, {"overwrite": False}, {"append": True}, {"append": False}))
    return st.builds(lambda file, said: {**file, **(said if minor >= 2 else {})}, _record(required, optional), how)


def _directory(minor: int) -> st.SearchStrategy[Json]:
    required, optional = _node(minor, "/srv/d")
    required["path"] = st.sampled_from(("/srv/d0", "/srv/d1/", "/srv//d2"))
    return _record(required, {**optional, "mode": _MODES})


def _link(minor: int) -> st.SearchStrategy[Json]:
    required, optional = _node(minor, "/opt/l")
    required["target"] = st.just("/usr/bin/true")
    return _record(required, {**optional, **_since(minor, {"overwrite": (2, st.booleans())})})


def _disk(minor: int) -> st.SearchStrategy[Json]:
    in_mib = minor >= 3
    partitions = st.lists(
        _record(
            {},
            {
                **({"sizeMiB": st.just(0), "startMiB": st.just(0)} if in_mib else {"size": st.sampled_from((0, 4096))}),
                "typeGuid": st.sampled_from(("", "a19d880f-05fc-4d3b-a006-743f0f84911e")),
            },
        ),
        max_size=3,
    ).map(lambda found: [{"number": n, "label": f"p{n}:x", **partition} for n, partition in enumerate(found)])
    return _record({"device": st.just("/dev/vda")}, {"partitions": partitions, "wipeTable": st.booleans()})


def _raid(minor: int) -> st.SearchStrategy[Json]:
    optional = _since(minor, {"options": (2, st.just(["--bitmap=internal"])), "spares": (0, st.sampled_from((0, 1)))})
    return _record({"name": st.just("data"), "level": st.sampled_from(("raid1", "raid5")), "devices": _DEVICES}, optional)


def _filesystem(minor: int) -> st.SearchStrategy[Json]:
    device = {"device": st.just("/dev/md/data"), "format": st.sampled_from(("ext4", "xfs", "btrfs"))}
    options = {"wipeFilesystem": (1, st.booleans()), "label": (1, st.just("data")), "options": (1, st.just(["-q"]))}
    create = st.builds(lambda how: {"create": {"force": True, **how}}, st.sampled_from(({}, {"options": ["-q"]})))
    mount = st.one_of(_record(device, _since(minor, options)), st.builds(lambda a, b: a | b, _record(device, {}), create))
    return st.one_of(
        _record({"mount": mount}, {"name": st.sampled_from(("data", "root"))}), st.just({"name": "sys", "path": "/sysroot"})
    )


def _dropins(colliding: bool) -> st.SearchStrategy[list[Json]]:
    return _listed(_record({"name": st.sampled_from(("10.conf", "20.conf"))}, {"contents": _CONTENTS}), "name", colliding)


def _unit(minor: int, colliding: bool) -> st.SearchStrategy[Json]:
    fields = {
        "enable": (0, st.booleans()),
        "enabled": (1, st.booleans()),
        "mask": (0, st.booleans()),
        "contents": (0, _CONTENTS),
        "dropins": (0, _dropins(colliding)),
    }
    return _record({"name": st.sampled_from(("a.service", "b.socket", "c.mount"))}, _since(minor, fields))


def _networkd_unit(minor: int, colliding: bool) -> st.SearchStrategy[Json]:
    fields = {"contents": (0, _CONTENTS), "dropins": (2, _dropins(colliding))}
    return _record({"name": st.sampled_from(("00-eth.network", "10-bond.netdev", "99.link"))}, _since(minor, fields))


def _account() -> st.SearchStrategy[Json]:
    return _record(
        {},
        {
            "uid": st.sampled_from((0, 1000)),
            "gecos": st.sampled_from(("", "A user")),
            "homeDir": st.sampled_from(("", "/home/u")),
            "noCreateHome": st.booleans(),
            "groups": st.lists(st.sampled_from(("sudo", "docker")), max_size=3),
            "system": st.booleans(),
        },
    )


def _user(minor: int) -> st.SearchStrategy[Json]:
    plain = {"name": _NAMES}
    optional = {"passwordHash": st.sampled_from(("", "$6$x")), "sshAuthorizedKeys": _KEYS}
    created = _record(plain, {**optional, "create": _account()})
    if minor == 0:
        return created
    return st.one_of(created, st.builds(lambda user, account: user | account, _record(plain, optional), _account()))


def _group() -> st.SearchStrategy[Json]:
    return _record({"name": _NAMES}, {"gid": st.sampled_from((0, 1000)), "passwordHash": st.just(""), "system": st.booleans()})
