"""Both parts."""

from benchmarks import dhcp, tftp

tftp.main()
dhcp.main()
