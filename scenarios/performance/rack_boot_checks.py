"""What must be true of every machine of a rack that booted with rack-node.bu."""

from typing import Any

Machine = dict[str, Any]


def test_the_host_has_its_own_name(host: Any, me: Machine) -> None:
    assert host.check_output("hostname") == me["name"]


def test_the_host_has_its_own_address(host: Any, me: Machine) -> None:
    assert f"inet {me['address']}/" in host.check_output("ip -4 -oneline address show")


def test_the_user_can_log_in_and_nothing_else_was_asked(host: Any) -> None:
    user = host.user("core")
    assert user.exists
    assert "sudo" in user.groups


def test_the_files_are_the_hosts_own(host: Any, me: Machine) -> None:
    position = host.file("/etc/rack/position")
    assert position.content_string == f"{me['values']['position']}\n"
    assert (position.mode, position.user, position.group) == (0o640, "root", "core")
    secret = host.file("/etc/rack/secret")
    assert secret.content_string == f"{me['values']['secret']}\n"
    assert (secret.mode, secret.user) == (0o600, "core")


def test_the_unit_is_enabled_and_has_run(host: Any, me: Machine) -> None:
    unit = host.service("rack-node.service")
    assert unit.is_enabled
    assert unit.is_running
    assert host.file("/run/rack-node").content_string == f"{me['serial']}\n"


def test_the_hardware_is_what_the_config_was_for(host: Any, me: Machine) -> None:
    assert host.check_output("cat /sys/class/net/eth0/address") == me["mac"]
    uefi = host.run("test -d /sys/firmware/efi").rc == 0
    assert uefi is (me["firmware"] == "uefi")


def test_nothing_of_another_hosts_config_is_here(host: Any, me: Machine, others: list[Machine]) -> None:
    assert others
    own = host.check_output("cat /etc/hostname /etc/motd /etc/rack/* /run/rack-node; systemctl cat rack-node phone-home")
    assert me["values"]["position"] in own
    for other in others:
        for word in (other["name"], other["serial"], other["values"]["secret"]):
            assert word not in own


def test_no_unit_has_failed(host: Any) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""
