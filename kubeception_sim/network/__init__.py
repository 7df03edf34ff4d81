"""The network a rack hangs on: one bridge in a namespace of its own, a tap for each machine, router advertisements.

Nothing here touches the host's own namespace, so two fabrics may use the same addresses at the same time.

    fabric.py                  Fabric: namespace, bridge, ports, sockets inside
    router_advertisement.py    why iPXE needs one, and who sends it
"""

from kubeception_sim.network.fabric import Fabric, Port, socket_in

__all__ = ["Fabric", "Port", "socket_in"]
