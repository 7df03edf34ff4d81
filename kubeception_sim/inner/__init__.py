"""Inner clusters: a resource `Cluster` of the outer one becomes a complete Kubernetes in virtual machines, each of them a pod.

resource.py    what a person asks for and what they are told: Cluster, Spec, Status
schema.py      the same as the API server checks it: the definition of the resource, and its rules for what it never saw
allocation.py  numbers that nobody else has: VNIs, and the machines of a cluster with their addresses
doors.py       what an inner cluster needs of others: certificates, the store of the network, the values of guests
wanted.py      the objects of a machine;  wanted_cluster.py  those of the cluster. Pure
controller/    brings the two together: observed, wanted, applied, told
"""
