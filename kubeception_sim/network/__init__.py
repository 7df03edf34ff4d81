"""The network that machines hang on: switches in a namespace of its own, a router between racks, a balancer before servers.

Nothing here touches the host's own namespace, so two fabrics may use the same addresses at the same time.

    rack.py                    Rack: name, subnet, bridge
    fabric.py                  Fabric: namespace, bridges, ports, sockets inside
    router_advertisement.py    why iPXE needs one, and who sends it
    bird.py  router.py         what BIRD is told, for the router and for hosts; the router, running
    haproxy.py  balancer.py    what HAProxy is told; the balancer, running
"""

from kubeception_sim.network.fabric import BRIDGE, Fabric, Port, inside, socket_in
from kubeception_sim.network.rack import Rack, bridge_of

__all__ = ["BRIDGE", "Fabric", "Port", "Rack", "bridge_of", "inside", "socket_in"]
