"""Specimen hosts: what the templates of profiles are rendered for that no host of the config has."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from ignition.document import DocumentError, Problem
from ignition.errors import Severity
from mayu_py.core.hosts import ENROLLED, Host, Mac, Uuid
from mayu_py.core.networks import DhcpMode, Network
from mayu_py.core.render import Renderer
from mayu_py.core.settings import Profile, Settings


def rehearse(settings: Settings, renderer: Renderer) -> Iterator[Problem]:
    """What would be wrong for a host that enrols with a profile, and has no values of its own.

    All of it are warnings: an operator may set values for the host before it is given the profile.
    """
    named = {entry.profile for entry in settings.hosts}
    for profile in settings.profiles:
        if profile.name in named:
            continue
        host = specimen(profile, settings)
        try:
            renderer.config(host)
            renderer.arguments(host)
        except DocumentError as error:
            for problem in error.problems:
                said = f"for a host that enrols with profile {profile.name}: {problem.message}"
                yield replace(problem, severity=Severity.WARNING, message=said)


def specimen(profile: Profile, settings: Settings) -> Host:
    """A host as enrolment would make it, that has told who it is."""
    network = next(iter(settings.boot_networks), settings.home)
    proxied = network.dhcp is DhcpMode.PROXY
    return Host(
        name="specimen",
        address=None if proxied else _address(network, settings),
        macs=(Mac("02:00:00:00:00:01"),),
        serial="SPECIMEN",
        uuid=Uuid("00000000-0000-4000-8000-000000000001"),
        profile=profile.name,
        addresses={each.name: _address(each, settings) for each in settings.networks if each.extra and each.range is not None},
        proxied=proxied,
        origin=ENROLLED,
    )


def _address(network: Network, settings: Settings) -> IPv4Address:
    if network.range is not None:
        return network.range.start
    taken = (settings.address(network), network.gateway)
    return next((address for address in network.subnet.hosts() if address not in taken), network.subnet.network_address)
