"""The entrance of inner clusters: HAProxy that follows the API, in the outer cluster and in each inner one.

    balancer (10.77.0.2) --PROXY v2--> clusters: SNI and Host --PROXY v2--> ingresses: Host and path --> pods

`clusters` runs in the outer cluster and finds the pods of machines; TLS passes through it as it is. `ingresses` runs in an inner
cluster and finds what its Ingresses name; TLS ends there, with keys that never leave the cluster. One program: what differs is
what is watched and what HAProxy is told (docs/entrance.md).
"""
