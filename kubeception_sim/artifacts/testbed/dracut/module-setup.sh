#!/bin/bash
# The testbed's initrd: network, root file system from HTTP, the real Ignition, reports to the server.

check() {
    return 255
}

depends() {
    echo systemd-initrd udev-rules
}

installkernel() {
    hostonly='' instmods virtio_pci virtio_net virtio_blk virtio_scsi virtio_rng qemu_fw_cfg sd_mod \
        squashfs overlay loop ext4 vfat nls_cp437 nls_ascii nls_iso8859-1 af_packet
}

# Ignition's own module without its dependencies: those bring dracut's network scripts, which know nothing of networkd.
install_ignition() (
    moddir=$(echo /usr/lib/dracut/modules.d/*ignition)
    # shellcheck disable=SC1091
    source "$moddir/module-setup.sh"
    install
)

install() {
    install_ignition
    inst_multiple bash sh cat curl cut head ip ln losetup mkdir modprobe mount rm sha256sum sleep systemctl tail uname \
        /usr/lib/systemd/systemd-networkd /usr/lib/systemd/systemd-networkd-wait-online \
        /usr/libexec/testbed/cmdline /usr/libexec/testbed/report /usr/libexec/testbed/failed \
        /etc/systemd/journald.conf.d/testbed.conf "$systemdsystemunitdir/systemd-networkd.service" \
        "$systemdsystemunitdir/systemd-networkd.socket" /etc/ssl/certs/ca-certificates.crt
    inst_simple /etc/systemd/system/emergency.service "$systemdsystemunitdir/emergency.service"
    cp -R --no-preserve=all "$moddir/initrd/." "$initdir/"
    chmod 0755 "$initdir"/usr/libexec/testbed/* "$initdir/usr/bin/setfiles" "$initdir/usr/bin/is-live-image"

    # networkd and journald run as users of their own, and Ignition's units need nothing else.
    grep -E '^(root|systemd-network|messagebus):' /etc/passwd > "$initdir/etc/passwd"
    grep -E '^(root|systemd-network|systemd-journal|tty|disk|kmem|messagebus):' /etc/group >> "$initdir/etc/group"

    # systemd knows an initrd by this file.
    echo 'NAME="Testbed OS initrd"
ID=testbed
VERSION_ID=1' > "$initdir/usr/lib/initrd-release"
    ln -sf ../usr/lib/initrd-release "$initdir/etc/initrd-release"
    ln -sf initrd-release "$initdir/usr/lib/os-release"
    ln -sf ../usr/lib/os-release "$initdir/etc/os-release"

    install_requirement testbed-root.service initrd-root-fs.target
    # Its only result would be that a config named by URL needs the network, and under emulation each start of Ignition
    # costs half a second. `network` says so instead.
    rm "$initdir/$systemdsystemunitdir/ignition-complete.target.requires/ignition-fetch-offline.service"
    install_requirement testbed-presets.service ignition-complete.target
    local unit
    # No password is asked here, no console font set; devtmpfs makes what nodes there are; the real root goes on with
    # what udev found out.
    for unit in systemd-ask-password-console.path systemd-vconsole-setup.service systemd-journald-audit.socket \
        systemd-random-seed.service systemd-sysctl.service kmod-static-nodes.service \
        systemd-tmpfiles-setup-dev.service systemd-tmpfiles-setup.service initrd-udevadm-cleanup-db.service; do
        ln -sf /dev/null "$initdir/etc/systemd/system/$unit"
    done
    rm -f "$initdir"/usr/lib/systemd/system-generators/systemd-gpt-auto-generator \
        "$initdir"/usr/lib/systemd/system-generators/systemd-debug-generator
}

install_requirement() {
    mkdir -p "$initdir/$systemdsystemunitdir/$2.requires"
    ln -sf "../$1" "$initdir/$systemdsystemunitdir/$2.requires/$1"
}
