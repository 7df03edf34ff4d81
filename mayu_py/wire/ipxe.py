"""iPXE scripts, and iPXE's encapsulated DHCP option 175."""

from collections.abc import Sequence

# Sub-option 176 of option 175 (`no-pxedhcp` in iPXE's dhcp.h), value 1: do not wait 2 s for a ProxyDHCP offer.
NO_PROXYDHCP = bytes((176, 1, 1))

_RETRY = """\
:failed
echo mayu: the boot server did not answer, trying again
sleep 2
goto retry
"""


def entry(script_url: str) -> str:
    """The static first script: it chains to the host's own, and keeps trying while the server cannot answer.

    Only iPXE knows the SMBIOS serial and which driver it runs on, so it passes them on in the URL. `chip` tells a
    NIC ROM's iPXE (`virtio-net`, `e1000` ...) from undionly (`undionly`) and snponly (`snp`).
    """
    query = (
        "serial=${serial:uristring}&uuid=${uuid}&mac=${netX/mac}"
        "&chip=${netX/chip:uristring}&platform=${platform}&arch=${buildarch}"
    )
    return f"#!ipxe\n:retry\nchain --replace {script_url}?{query} || goto failed\n{_RETRY}"


def chain(url: str) -> str:
    """A script that replaces the running iPXE by the one at `url`."""
    return f"#!ipxe\n:retry\nchain --autofree {url} || goto failed\n{_RETRY}"


def disk() -> str:
    """A script that boots the first disk: BIOS by number, UEFI by leaving iPXE to the firmware's next boot entry."""
    return "#!ipxe\niseq ${platform} pcbios && sanboot --no-describe --drive 0x80 || exit\n"


def boot(kernel_url: str, initrd_urls: Sequence[str], arguments: Sequence[str]) -> str:
    """A script that boots a kernel.

    UEFI kernels find an initrd by the name given with `initrd=`; BIOS ignores the argument. Arguments with white
    space or line ends would change the script: they raise ValueError.
    """
    for argument in (kernel_url, *initrd_urls, *arguments):
        if not argument or any(c.isspace() or not c.isprintable() for c in argument):
            raise ValueError(f"a kernel argument may not be empty or hold white space: {argument!r}")
    names = [f"initrd{n}" if n else "initrd" for n in range(len(initrd_urls))]
    line = " ".join((*(f"initrd={name}" for name in names), *arguments))
    out = ["#!ipxe", ":retry", "imgfree", f"kernel {kernel_url} {line} || goto failed"]
    out += [f"initrd --name {name} {url} || goto failed" for name, url in zip(names, initrd_urls, strict=True)]
    return "\n".join((*out, "boot || goto failed", _RETRY))
