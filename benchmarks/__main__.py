"""All parts."""

from benchmarks import dhcp, dns, ignition, serve, tftp

tftp.main()
dhcp.main()
dns.main()
serve.main()
ignition.main()
