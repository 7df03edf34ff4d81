"""All parts."""

from benchmarks import dhcp, serve, tftp

tftp.main()
dhcp.main()
serve.main()
