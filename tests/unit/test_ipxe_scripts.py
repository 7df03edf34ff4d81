"""iPXE scripts, whole: an error in one leaves a rack at a prompt."""

import pytest

from mayu_py.wire import ipxe


def test_the_entry_script_passes_on_what_only_ipxe_knows() -> None:
    assert ipxe.entry("http://10.77.0.1:4081/script") == (
        "#!ipxe\n"
        ":retry\n"
        "chain --replace http://10.77.0.1:4081/script?serial=${serial:uristring}&uuid=${uuid}&mac=${netX/mac}"
        "&chip=${netX/chip:uristring}&platform=${platform}&arch=${buildarch} || goto failed\n"
        ":failed\n"
        "echo mayu: the boot server did not answer, trying again\n"
        "sleep 2\n"
        "goto retry\n"
    )


def test_a_rom_is_replaced_over_tftp() -> None:
    assert ipxe.chain("tftp://10.77.0.1/undionly.kpxe") == (
        "#!ipxe\n"
        ":retry\n"
        "chain --autofree tftp://10.77.0.1/undionly.kpxe || goto failed\n"
        ":failed\n"
        "echo mayu: the boot server did not answer, trying again\n"
        "sleep 2\n"
        "goto retry\n"
    )


def test_the_boot_script_names_every_initrd_for_uefi() -> None:
    assert ipxe.boot("http://s/kernel", ["http://s/initrd", "http://s/more"], ["console=ttyS0", "a.b=http://s/i?x=1"]) == (
        "#!ipxe\n"
        ":retry\n"
        "imgfree\n"
        "kernel http://s/kernel initrd=initrd initrd=initrd1 console=ttyS0 a.b=http://s/i?x=1 || goto failed\n"
        "initrd --name initrd http://s/initrd || goto failed\n"
        "initrd --name initrd1 http://s/more || goto failed\n"
        "boot || goto failed\n"
        ":failed\n"
        "echo mayu: the boot server did not answer, trying again\n"
        "sleep 2\n"
        "goto retry\n"
    )


@pytest.mark.parametrize("argument", ["two words", "line\nend", "", "bell\7"])
def test_an_argument_that_would_change_the_script_is_refused(argument: str) -> None:
    with pytest.raises(ValueError, match="white space"):
        ipxe.boot("http://s/kernel", [], [argument])
