"""Who certifies whom: authorities with a mount for each purpose, behind one protocol.

authority.py   the protocol, and what is asked for and given
bao.py         OpenBao: a role for each certificate, a token for each host that opens its own roles only
server.py      the OpenBao server of a lab
embedded.py    the same with keys in a folder of the lab, for computers that cannot have OpenBao
keys.py        keys and signing requests
tenants.py     authorities of inner clusters, in a namespace that their controller cannot leave
access.py      how an OpenBao is asked, and as whom
rotation.py    which certificates end soon, and whose turn it is to get new ones
"""

from kubeception_sim.pki.authority import Authority, Issued, Issuer, Refused, Request

__all__ = ["Authority", "Issued", "Issuer", "Refused", "Request"]
