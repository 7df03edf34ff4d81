"""A turn as a list of steps: what comes before what, and that no order of turns takes etcd's majority or the last API server."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.errors import HarnessError
from kubeception_sim.giantnetes.cluster import Cluster, Host
from kubeception_sim.giantnetes.components import ADMINISTRATOR, administrator, of_host
from kubeception_sim.giantnetes.hosts import changed, config_id
from kubeception_sim.giantnetes.rotation import API_SERVER, ETCD, USERS, Do, Step, majority, steps, title
from kubeception_sim.model.scenario import Role
from kubeception_sim.pki.rotation import Held, Turn, plan


def cluster(masters: int, workers: int) -> Cluster:
    roles = [Role.MASTER] * masters + [Role.WORKER] * workers
    hosts = tuple(
        Host(f"{role}-{n}", role, "a", IPv4Address(f"10.77.1.{n}"), IPv4Address("10.77.1.1"), IPv4Network(f"10.60.{n}.0/24"))
        for n, role in enumerate(roles, 11)
    )
    pods, services = IPv4Network("10.60.0.0/16"), IPv4Network("10.61.0.0/16")
    return Cluster("v1.20.2", IPv4Address("10.77.0.1"), pods, services, "cluster.local", hosts)


@st.composite
def rotations(draw: st.DrawFn) -> tuple[Cluster, tuple[Step, ...]]:
    """A cluster and the steps of all turns of a rotation of some of its certificates, whichever."""
    of = cluster(draw(st.sampled_from([1, 3, 5])), draw(st.integers(0, 2)))
    names = draw(st.sets(st.sampled_from(sorted(USERS)), min_size=1))
    held = [Held(host.name, name, req, "") for host in of.hosts for name, req in of_host(of, host).items() if name in names]
    masters = [host.name for host in of.masters]
    return of, tuple(step for turn in plan(held, USERS) for step in steps(turn, masters))


@given(rotations())
def test_etcd_keeps_its_majority_and_clients_find_an_api_server_that_has_its_etcd(made: tuple[Cluster, tuple[Step, ...]]) -> None:
    of, found = made
    masters = {host.name for host in of.masters}
    drained: set[str] = set()
    asked: set[str] = set()
    for step in found:
        match step.do:
            case Do.DRAIN:
                drained.add(step.host)
            case Do.ADMIT:
                drained.remove(step.host)
            case Do.QUORUM:
                asked = set(step.what)
            case Do.RESTART if step.what == (ETCD,):
                # Nothing has happened since the others said that they are well: what is left is all but this one.
                assert asked == masters - {step.host}
                if len(masters) > 1:
                    assert len(asked) >= majority(len(masters))
                assert drained == {step.host}
                asked = set()
            case Do.RESTART if step.what == (API_SERVER,):
                assert drained == {step.host}
            case _:
                pass
        assert len(drained) <= 1
    assert not drained


@given(rotations())
def test_a_host_is_told_and_given_files_before_anything_restarts_and_says_what_it_runs_at_last(
    made: tuple[Cluster, tuple[Step, ...]],
) -> None:
    of, found = made
    for host in of.hosts:
        own = [step.do for step in found if step.host == host.name]
        if own:
            assert own[:3] == [Do.ISSUE, Do.TELL, Do.WRITE]
            assert own[-2:] == [Do.VERIFY, Do.MARK]
            assert set(own[3:-2]) <= {Do.DRAIN, Do.QUORUM, Do.RESTART, Do.ADMIT}
    order = list(dict.fromkeys(step.host for step in found))
    assert [step.host for step in found] == sorted((step.host for step in found), key=order.index)


def test_the_turn_of_a_master_in_full() -> None:
    of = cluster(3, 0)
    host = of.hosts[1]
    (turn,) = plan([Held(host.name, name, request, "") for name, request in of_host(of, host).items()], USERS)
    assert [str(step) for step in steps(turn, [each.name for each in of.masters])][3:-2] == [
        "master-12: drain",
        "master-12: check quorum master-11, master-13",
        "master-12: restart etcd",
        "master-12: restart kube-apiserver",
        "master-12: admit",
        "master-12: restart kube-controller-manager",
        "master-12: restart kube-scheduler",
        "master-12: restart kubelet",
    ]


def test_a_host_without_anything_to_restart_only_gets_files() -> None:
    of = cluster(1, 1)
    turn = Turn(of.hosts[1].name, {"kube_proxy": of_host(of, of.hosts[1])["kube_proxy"]}, ())
    assert [step.do for step in steps(turn, ["master-11"])] == [Do.ISSUE, Do.TELL, Do.WRITE, Do.VERIFY, Do.MARK]


def test_the_administrators_is_for_the_harness_alone() -> None:
    turn = Turn(ADMINISTRATOR, {"admin": administrator()}, ())
    assert [step.do for step in steps(turn, ["m"])] == [Do.ISSUE, Do.ADOPT]


@pytest.mark.parametrize(("members", "needed"), [(1, 1), (3, 2), (5, 3)])
def test_a_majority_is_more_than_half(members: int, needed: int) -> None:
    assert majority(members) == needed
    assert needed * 2 > members >= needed


def test_certificates_are_called_as_their_files_are() -> None:
    assert title("apiserver_etcd_client") == "apiserver-etcd-client"


def config(**files: str) -> dict[str, object]:
    listed = [{"path": f"/{name}", "mode": 0o600, "contents": {"source": f"data:,{text}"}} for name, text in files.items()]
    return {"ignition": {"version": "3.2.0"}, "storage": {"files": listed}}


def test_what_a_config_writes_otherwise_than_another_is_what_a_host_gets() -> None:
    found = changed(config(a="one", b="two%0A"), config(a="one", b="three%0A", c="new"))
    assert [(file.path, file.mode, file.data) for file in found] == [("/b", 0o600, b"three\n"), ("/c", 0o600, b"new")]
    assert changed(config(a="one"), config(a="one")) == ()


def test_compressed_and_encoded_contents_are_read() -> None:
    # gzip of "hello\n", as mayu writes long files
    source = "data:;base64,H4sIAAAAAAACA8tIzcnJ5wIAIDA6NgYAAAA="
    packed = {"storage": {"files": [{"path": "/x", "contents": {"source": source, "compression": "gzip"}}]}}
    (file,) = changed(config(), packed)
    assert (file.mode, file.data) == (0o644, b"hello\n")


def test_contents_by_reference_cannot_be_given() -> None:
    with pytest.raises(HarnessError, match="not in the config itself"):
        changed(config(), {"storage": {"files": [{"path": "/x", "contents": {"source": "http://10.77.0.1/x"}}]}})


def test_the_id_of_a_config_is_where_a_node_says_it() -> None:
    script = "change='{%22metadata%22: {%22annotations%22: {%22giantnetes/config%22: %22c0ffee0123456789%22}}}'"
    assert config_id(config(a="x", joined=script)) == "c0ffee0123456789"
    with pytest.raises(HarnessError, match="giantnetes/config"):
        config_id(config(a="x"))
