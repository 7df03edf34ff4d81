"""The network of a machine's pod: one link for all machines of a cluster, and nothing else that a machine can reach.

place.py       where this machine is, read from the environment; names and addresses that follow from it. Pure
flannel.py     what pods tell each other, in flannel's words: keys and values in etcd. Pure
plan.py        links, addresses, forwarding entries; what there is to change. Pure
ruleset.py     the rules, as a text of nftables. Pure
kernel.py      the network namespace that this runs in: observed, and brought to the plan;  devconf.py  switches of its links
etcd.py        etcd over TLS, by its JSON gateway
leases.py      this machine's lease, and those of its peers
sidecar.py     keeps kernel and leases as they should be
"""
