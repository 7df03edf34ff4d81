from kubeception_sim.network.router_advertisement import advertisement


def test_an_advertisement_offers_nothing() -> None:
    # RFC 4861, section 4.2: type 134, code 0, checksum left to the kernel, hop limit 64, neither M nor O, router
    # lifetime 0, reachable and retransmission time unspecified; then only the source link-layer address option.
    assert advertisement(bytes.fromhex("020000000001")).hex(" ", 4) == "86000000 40000000 00000000 00000000 01010200 00000001"
