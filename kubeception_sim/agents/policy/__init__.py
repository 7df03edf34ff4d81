"""NetworkPolicy (networking.k8s.io/v1) of one node, as one nftables table. Runs as a pod on the node's own network.

selectors.py   label selectors
objects.py     what the API says of pods, namespaces and policies, read into values
ruleset.py     policies and pods of the cluster -> who may talk to whom on this node; pure
table.py       that, as text for `nft -f`; pure
kernel.py      puts the text into the kernel, whole or not at all
follow.py      keeps the kernel current with the API
"""
