"""The life of an inner cluster in a scenario: the steps that rotate its certificates and upgrade its machines."""

from dataclasses import dataclass, field
from typing import Literal

from ignition.document import Duration, Origin


@dataclass(frozen=True)
class RotateCluster:
    """Have every machine of an inner cluster get new certificates while it runs, and wait until it has them: by the status of the
    cluster, and in a handshake with its API. `to` is what `spec.rotation` becomes."""

    do: Literal["cluster-rotate"]
    cluster: str
    to: str
    within: Duration
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass(frozen=True)
class UpgradeCluster:
    """Have the machines of an inner cluster replaced one by one by those of another system, and wait for it. Objects that were
    written before must be there after, and all nodes tell of the system `os`. `interrupted`: once the first machine is away the
    controller is killed."""

    do: Literal["cluster-upgrade"]
    cluster: str
    os: str
    within: Duration
    interrupted: bool = False
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass(frozen=True)
class EndProbe:
    """Let a probe end: what comes after is not its business."""

    do: Literal["probe-end"]
    probe: str
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)
