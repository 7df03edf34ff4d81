"""Every verb of mayuctl against a real admin face."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.ctl_runs import Ctl
from tests.integration.ctl_server import Served, admin_face


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with admin_face(tmp_path) as served:
        yield served


@pytest.fixture
def ctl(served: Served, tmp_path: Path) -> Ctl:
    return Ctl(tmp_path, {"MAYU_SERVER": served.url})


def test_hosts_are_listed_whole_for_programs(served: Served, ctl: Ctl) -> None:
    served.enrol(1)
    assert ctl.out("list") == (
        "NAME       SERIAL  ADDRESS     PROFILE  STATE       STAGE  SINCE\n"
        "127-0-1-1  KC-E1   127.0.1.1   node     configured  -      -\n"
        "node-1     KC-1    127.0.0.11  node     configured  -      -\n"
        "node-2     KC-2    127.0.0.12  disk     configured  -      -\n"
    )
    assert ctl.out("list", "--fields", "name", "--no-legend", "--sort", "-address") == "127-0-1-1\nnode-2\nnode-1\n"
    assert ctl.json("list", "--fields", "name,facts.cabinet", "--profile", "disk") == [{"name": "node-2", "facts.cabinet": ""}]
    assert [host["name"] for host in ctl.json("list", "--tag", "compute", "--state", "configured")] == ["127-0-1-1", "node-1"]


def test_nothing_to_list_is_said_beside_an_empty_output(ctl: Ctl) -> None:
    ran = ctl("list", "--state", "running")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr == "no host fits\nhint: without --state, --profile and --tag, all are listed\n"
    assert ctl.json("list", "--state", "running") == []


def test_facts_and_metadata_are_set_and_forgotten(ctl: Ctl) -> None:
    assert ctl.out("set", "node-1", "cabinet", "3") == "node-1 has cabinet 3\n"
    assert ctl.out("set", "KC-1", "providerid", "p-1") == "node-1 has providerid p-1\n"
    assert ctl.out("set", "node-1", "ipmiaddr", "10.9.0.1") == "node-1 has ipmiaddr 10.9.0.1\n"
    assert ctl.out("set", "node-1", "etcdtoken", "-", typed="hush\n") == "node-1 has a new etcdtoken\n"
    assert ctl.out("set", "node-1", "metadata", "rack=a,row=7") == "node-1 has rack=a, row=7\n"
    assert ctl.out("label", "node-1", "row-", "note=two words") == 'node-1 has no row, note="two words"\n'
    assert ctl.json("status", "node-1")["facts"] == {
        "provider_id": "p-1",
        "ipmi_address": "10.9.0.1",
        "cabinet": "3",
        "os_version": "",
        "metadata": {"rack": "a", "note": "two words"},
        "etcd_token": "hush",
    }
    assert ctl.out("set", "node-1", "cabinet", "") == "node-1 has no cabinet any more\n"
    assert ctl.json("status", "node-1")["facts"]["cabinet"] == ""
    assert "facts.metadata      rack=a note=\"two words\"\n" in ctl.out("status", "node-1")  # fmt: skip


def test_values_are_json_or_text_and_what_breaks_the_config_is_refused(ctl: Ctl) -> None:
    assert ctl.out("override", "node-1", "word", "new") == "node-1 has word of its own\n"
    assert ctl.out("override", "node-1", "disks", '["/dev/sda"]') == "node-1 has disks of its own\n"
    assert ctl.out("override", "node-1", "release", "--text", "12.10") == "node-1 has release of its own\n"
    assert ctl.json("status", "node-1")["values"] == {"word": "new", "disks": ["/dev/sda"], "release": "12.10"}
    assert ctl.out("override", "node-1", "word", "--remove") == "node-1 has no word of its own\n"
    assert "VALUE begins as JSON does, and is none" in ctl.refused("override", "node-1", "disks", '["/dev/sda"', code=2)[-1]
    assert ctl.out("override", "node-1", "note", "--text", "[sic]") == "node-1 has note of its own\n"
    assert "word" not in ctl.json("status", "node-1")["values"]
    why, where = ctl.refused("override", "node-1", "word", '{"a": 1}')
    assert why == "mayuctl: the host's config would not be valid"
    assert "expected a string, found a mapping" in where
    ctl.refused("override", "node-1", "word", "null", code=2)
    ctl.refused("override", "node-1", "word", code=2)
    ctl.refused("override", "node-1", "word", "x", "--remove", code=2)


def test_profiles_and_images_are_given_and_taken(served: Served, ctl: Ctl) -> None:
    name = served.enrol(1).name
    assert ctl.out("pin", name, "disk") == f"{name} is pinned to disk\n"
    assert ctl.json("status", name)["profile"] == "disk"
    assert ctl.out("pin", name, "--unpin") == f"{name} is not pinned any more\n"
    assert ctl.json("status", name)["profile"] == "node"
    assert ctl.out("image", "node-1", "new") == "node-1 boots new\n"
    assert ctl.out("image", "node-1", "--reset") == "node-1 boots the image of its profile\n"
    assert ctl.json("status", "node-1")["image"] is None
    assert ctl.refused("image", "node-1", "nwe") == ["mayuctl: there is no image 'nwe'", "hint: images: new, os"]
    assert ctl.refused("pin", "node-1", "disk")[1] == "hint: change it in the config file"
    ctl.refused("pin", name, "disk", "--unpin", code=2)
    ctl.refused("image", name, code=2)


def test_states_move_by_the_rules_and_are_waited_for(ctl: Ctl) -> None:
    assert ctl.refused("set", "node-2", "state", "running") == [
        "mayuctl: a host that is configured cannot become running",
        "hint: it can become failed, installing",
    ]
    assert ctl.refused("wait", "node-2", "--timeout", "100ms") == [
        "mayuctl: node-2 is not running after 0.1 s; its state is configured, its last stage none",
        "hint: mayuctl history node-2",
    ]
    (why,) = [line for line in ctl.refused("set", "node-2", "state", "installed", code=2) if "installed" in line]
    assert "`set HOST state running` says so for it, `reinstall HOST` takes it back" in why
    waiting = ctl.start("wait", "node-2", "--timeout", "20s")
    assert ctl.out("set", "node-2", "state", "installing") == "node-2 is installing\n"
    assert ctl.out("set", "node-2", "state", "running") == "node-2 is running\n"
    assert waiting.communicate(timeout=20) == ("node-2 is running\n", "")
    assert ctl.json("status", "node-2")["installed"] is True
    assert ctl.out("reinstall", "node-2") == "node-2 will be installed anew when it boots next\n"
    assert ctl.json("status", "node-2")["installed"] is False
    assert ctl.out("set", "node-2", "state", "failed", "--text", "broken fan") == "node-2 is failed\n"
    lines = [line.split("  ", 1)[1].split(None, 1) for line in ctl.out("history", "node-2").splitlines()]
    assert ["failed", 'text="broken fan"'] in lines
    assert ["state", "from=installing to=running"] in lines


def test_waiting_ends_at_once_when_the_host_fails_meanwhile(ctl: Ctl) -> None:
    ctl.out("set", "node-1", "state", "installing")
    waiting = ctl.start("wait", "node-1", "--timeout", "60s")
    try:
        # It has looked once when it has made a connection; its own second look must see the failure.
        until_counted(ctl)
        ctl.out("set", "node-1", "state", "failed", "--text", "no disk")
        _, told = waiting.communicate(timeout=20)
    finally:
        waiting.kill()
    assert waiting.returncode == 1
    assert told.startswith("mayuctl: node-1 has failed; its state is failed")


def until_counted(ctl: Ctl) -> None:
    """Pass at least as long as a second client needs from its start to its answer."""
    for _ in range(4):
        ctl.json("status", "node-1")


def test_deleting_asks_and_is_all_or_nothing_for_unknown_hosts(served: Served, ctl: Ctl) -> None:
    first, second = served.enrol(1).name, served.enrol(2).name
    assert ctl.refused("delete", first, "nobody")[0] == "mayuctl: there is no host 'nobody'"
    asked = ctl("delete", first, second)
    assert (asked.returncode, asked.stdout) == (130, "")
    assert "Forget these 2 hosts? [y/N]" in asked.stderr
    assert len(ctl.json("list")) == 4
    ran = ctl("delete", first, typed="y\n")
    assert (ran.returncode, ran.stdout) == (0, f"{first} is forgotten\n")
    mixed = ctl("delete", "--yes", "node-1", second)
    assert (mixed.returncode, mixed.stdout) == (1, f"{second} is forgotten\n")
    assert mixed.stderr.endswith("hint: take it out of the config file\n")
    assert [host["name"] for host in ctl.json("list")] == ["node-1", "node-2"]


def test_events_are_chosen_by_host_and_kind(ctl: Ctl) -> None:
    ctl.out("set", "node-1", "cabinet", "1")
    ctl.out("label", "node-2", "a=b")
    lines = [json.loads(line) for line in ctl.out("events", "--json").splitlines()]
    assert [(line["id"], line["host"], line["kind"], line["detail"]) for line in lines] == [
        (1, "node-1", "set", {"by": "local", "cabinet": "1"}),
        (2, "node-2", "label", {"by": "local", "a": "b"}),
    ]
    assert [json.loads(line)["id"] for line in ctl.out("events", "--json", "--host", "KC-2").splitlines()] == [2]
    assert [json.loads(line)["id"] for line in ctl.out("events", "--json", "--kind", "set").splitlines()] == [1]
    assert [json.loads(line)["id"] for line in ctl.out("events", "--json", "--after", "1").splitlines()] == [2]
    assert ctl.out("events").splitlines()[0].endswith("  node-1                set          by=local cabinet=1")


def test_a_config_is_shown_redacted_of_everything_secret(ctl: Ctl) -> None:
    ctl.out("override", "node-1", "word", "hush-hush")
    assert "data:,hush-hush" in ctl.out("ignition", "node-1")
    shown = json.loads(ctl.out("ignition", "node-1", "--redacted"))
    assert shown["storage"]["files"][0]["contents"]["source"] == "data:,***"


def test_the_servers_config_is_fetched_and_compared(served: Served, ctl: Ctl, tmp_path: Path) -> None:
    text = served.path.read_text()
    assert ctl.out("config", "get") == text
    assert ctl.json("config", "get") == {"config": text}
    new = tmp_path / "new.yaml"
    new.write_text(text.replace("word: plain}, tags", "word: bold}, tags"))
    assert ctl.out("config", "set", str(served.path)) == "nothing changes\n"
    shown = ctl.out("config", "set", "--dry-run", str(new)).splitlines()
    assert shown[:2] == ["--- server", "+++ new.yaml"]
    assert [line[0] for line in shown if "tags: [compute]" in line] == ["-", "+"]
    assert ctl.json("config", "set", "--dry-run", str(new)) == {"changed": True, "applied": False}
    asked = ctl("config", "set", str(new))
    assert asked.returncode == 130
    assert "Run this config? [y/N]" in asked.stderr
    assert ctl("config", "set", "-", typed=new.read_text()).returncode == 2
    assert served.path.read_text() == text


def test_the_server_is_looked_into(ctl: Ctl) -> None:
    version = ctl.json("version")
    assert version["client"] == version["server"]["mayu"]
    assert ctl.out("version", "--client") == f"mayuctl {version['client']}\n"
    assert ctl.out("networks").splitlines()[1].split() == [
        *("rack", "127.0.0.0/8", "lo", "127.0.0.1", "127.0.1.1-127.0.1.9", "2", "9"),
    ]
    assert ctl.json("networks")[0]["used"] == {"127.0.0.11": "node-1", "127.0.0.12": "node-2"}
    assert [line.split()[:4] for line in ctl.out("profiles").splitlines()] == [
        ["NAME", "IMAGE", "INSTALL", "HOSTS"],
        ["node", "os", "always", "1"],
        ["disk", "os", "once", "1"],
    ]
    assert ctl.json("workers") == []
    for words, nothing in (
        (("history", "node-2"), "nothing has happened to node-2 yet\n"),
        (("events", "--kind", "flood"), "no event fits\n"),
        (("events", "--kind", "flood", "--json"), ""),
    ):
        assert (ctl(*words).stdout, ctl(*words).stderr) == ("", nothing)
    ctl.refused("status", "nobody")
    assert ["admin-1", "http.refused", "404", "1"] in [line.split() for line in ctl.out("counters").splitlines()]


def test_what_cannot_be_meant_is_exit_code_2(ctl: Ctl) -> None:
    for words in (
        ("set", "node-1", "state", "flying"),
        ("set", "node-1", "colour", "red"),
        ("set", "node-1", "cabinet", "1", "--text", "why"),
        ("label", "node-1", "rack"),
        ("label", "node-1", "=a"),
        ("wait", "node-1", "--timeout", "10"),
        ("--server", "x", "--context", "y", "list"),
        ("--client-key", "x", "list"),
    ):
        assert ctl.refused(*words, code=2)[0].startswith("Usage: mayuctl")


def test_names_are_completed_and_failures_are_silent(ctl: Ctl) -> None:
    def completed(ctl: Ctl, line: str, word: int) -> str:
        again = Ctl(
            ctl.home, {**ctl.environment, "COMP_WORDS": line, "COMP_CWORD": str(word), "_MAYUCTL_COMPLETE": "bash_complete"}
        )
        return again.out()

    assert completed(ctl, "mayuctl status node-", 2) == "plain,node-1\nplain,node-2\n"
    assert completed(ctl, "mayuctl pin node-1 d", 3) == "plain,disk\n"
    assert completed(ctl, "mayuctl set node-1 state run", 4) == "plain,running\n"
    assert completed(Ctl(ctl.home, {"MAYU_SERVER": "http://127.0.0.1:9"}), "mayuctl status node-", 2).strip() == ""


def test_a_host_name_is_escaped_in_the_request(ctl: Ctl) -> None:
    assert ctl.refused("status", "../version")[0].startswith("mayuctl: ")
    assert ctl.refused("status", "é?state=running")[0] == "mayuctl: there is no host 'é?state=running'"
