"""Users and groups."""

from ignition import model
from ignition.legacy import types
from ignition.legacy.outcome import Journal, quoted
from ignition.model import Path, dotted

_USERS: Path = ("passwd", "users")
_GROUPS: Path = ("passwd", "groups")
_CREATION_ONLY = ("no_create_home", "no_log_init", "no_user_group", "system")
_FIELDS = dict(zip(types.Account.__struct_fields__, types.Account.__struct_encode_fields__, strict=True))


def migrate_passwd(old: types.Passwd, journal: Journal) -> model.Passwd:
    groups = [(_group(group), (*_GROUPS, index)) for index, group in enumerate(old.groups)]
    users: dict[str, tuple[model.PasswdUser, Path]] = {}
    for index, user in enumerate(old.users):
        path: Path = (*_USERS, index)
        new = _user(user, path, journal)
        if user.name in users:
            first, origin = users[user.name]
            reason = "spec 3 refuses two entries; spec 2 changed the account made first, and the later value of a field won"
            journal.changed(path, f"user {quoted(user.name)} again", f"one entry with {dotted(origin)}", reason)
            users[user.name] = (_modified(first, new), origin)
        else:
            users[user.name] = (new, path)
    return model.Passwd(groups=journal.placed(_GROUPS, groups), users=journal.placed(_USERS, users.values()))


def _group(old: types.PasswdGroup) -> model.PasswdGroup:
    return model.PasswdGroup(gid=old.gid, name=old.name, password_hash=old.password_hash or None, system=old.system or None)


def _user(old: types.PasswdUser, path: Path, journal: Journal) -> model.PasswdUser:
    account: types.Account = old
    is_created = journal.has((*path, "create"))
    if is_created:
        account = old.create or types.Account()
        _check_unmixed(old, path, journal)
        journal.changed((*path, "create"), "create", "fields of the user", "spec 3 has no create object")
    keys, groups = (*path, "sshAuthorizedKeys"), (*path, "create", "groups") if is_created else (*path, "groups")
    return model.PasswdUser(
        gecos=account.gecos or None,
        groups=tuple(group for group, _ in journal.distinct(groups, account.groups)),
        home_dir=account.home_dir or None,
        name=old.name,
        no_create_home=account.no_create_home or None,
        no_log_init=account.no_log_init or None,
        no_user_group=account.no_user_group or None,
        password_hash=old.password_hash,
        primary_group=account.primary_group or None,
        shell=account.shell or None,
        ssh_authorized_keys=tuple(key for key, _ in journal.distinct(keys, old.ssh_authorized_keys)),
        system=account.system or None,
        uid=account.uid,
    )


def _check_unmixed(old: types.PasswdUser, path: Path, journal: Journal) -> None:
    """Refuse what spec 2 refuses (config/v2_4/types/passwd.go): uid 0 counts as given, other zero values do not."""
    for attribute, key in _FIELDS.items():
        value = getattr(old, attribute)
        if value or (attribute == "uid" and value is not None):
            journal.refuse((*path, key), f"cannot use both the create object and the user-level {key} field")


def _modified(first: model.PasswdUser, later: model.PasswdUser) -> model.PasswdUser:
    """Return what usermod makes of an account: what is only for useradd stays, every other value given replaces the first."""
    fields = {
        name: getattr(first, name) if name in _CREATION_ONLY or getattr(later, name) in (None, ()) else getattr(later, name)
        for name in model.PasswdUser.__struct_fields__
    }
    return model.PasswdUser(**fields)
