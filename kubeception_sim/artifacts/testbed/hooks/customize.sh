#!/bin/sh
# After all packages are installed: kernel, configuration, initrd. $1: root; $KUBECEPTION_RECIPE: this folder's parent;
# $KUBECEPTION_PACKAGES: package cache; $KUBECEPTION_OUTPUT: where kernel and raw initrd go; $KUBECEPTION_VARIANT: a folder
# of additions, or empty.
set -eu
root=$1
archives=$root/var/cache/apt/archives
in_root() { chroot "$root" "$@"; }
step() { echo "step: $*" >&2; }

step kernel
# The kernel is unpacked, not installed: its postinst would want an initrd builder, and /boot is of no use here.
kernel=$(in_root apt-cache depends --important linux-image-cloud-amd64 | sed -n 's/.*Depends: //p' | head -n 1)
in_root apt-get -qq --yes --no-install-recommends --download-only install "$kernel"
version=$(in_root apt-cache show --no-all-versions "$kernel" | sed -n 's/^Version: //p')
dpkg-deb --fsys-tarfile "$archives/${kernel}_${version}_amd64.deb" |
    tar -x -C "$root" --keep-directory-symlink --exclude=./usr/share --exclude='./boot/System.map*' --exclude='./boot/config*'
release=${kernel#linux-image-}
# Modules for hardware that no virtual machine of ours has, and for filesystems nobody mounts.
while read -r tree; do
    case $tree in ''|'#'*) continue ;; esac
    rm -rf "$root/usr/lib/modules/$release/kernel/$tree"
done < "$KUBECEPTION_RECIPE/modules-drop.txt"
in_root depmod "$release"
cp "$root/boot/vmlinuz-$release" "$KUBECEPTION_OUTPUT/kernel"

step packages kept for the next build
# Images of two kinds may be built at once: files appear whole, and none is taken away.
fresh=$(mktemp -d "$KUBECEPTION_PACKAGES/new-XXXXXX")
for package in "$archives"/*.deb; do
    [ -e "$KUBECEPTION_PACKAGES/${package##*/}" ] && continue
    cp "$package" "$fresh/"
    mv "$fresh/${package##*/}" "$KUBECEPTION_PACKAGES/"
done
rmdir "$fresh"

step configuration
for folder in "$KUBECEPTION_RECIPE" ${KUBECEPTION_VARIANT:+"$KUBECEPTION_VARIANT"}; do
    cp -R --no-preserve=all "$folder/root/." "$root/"
done
chmod 0755 "$root"/usr/libexec/testbed/*
chmod 0440 "$root/etc/sudoers.d/testbed"
# Only the ed25519 key is used, and each machine makes its own.
rm -f "$root"/etc/ssh/ssh_host_*
: > "$root/etc/machine-id"
: > "$root/etc/resolv.conf"
echo localhost > "$root/etc/hostname"
mkdir -p "$root/etc/systemd/system-generators" "$root/etc/tmpfiles.d"
cat "$KUBECEPTION_RECIPE/units.txt" ${KUBECEPTION_VARIANT:+"$KUBECEPTION_VARIANT/units.txt"} > "$KUBECEPTION_OUTPUT/units"
while read -r kind name; do
    case $kind in
        enable) in_root systemctl --quiet enable "$name" ;;
        disable) in_root systemctl --quiet disable "$name" ;;
        mask) in_root systemctl --quiet mask "$name" ;;
        generator) ln -sf /dev/null "$root/etc/systemd/system-generators/$name" ;;
        tmpfiles) ln -sf /dev/null "$root/etc/tmpfiles.d/$name" ;;
        unwant) rm -f "$root"/etc/systemd/system/*.wants/"$name" "$root"/usr/lib/systemd/system/*.wants/"$name" ;;
        ''|'#') ;;
        *) echo "units.txt: what is '$kind'?" >&2; exit 1 ;;
    esac
done < "$KUBECEPTION_OUTPUT/units"
rm "$KUBECEPTION_OUTPUT/units"
in_root systemctl --quiet set-default multi-user.target

step initrd
mkdir -p "$root/usr/lib/dracut/modules.d/90testbed"
cp -R --no-preserve=all "$KUBECEPTION_RECIPE/dracut/." "$root/usr/lib/dracut/modules.d/90testbed/"
in_root dracut --quiet --force --no-hostonly --no-hostonly-cmdline --no-early-microcode --reproducible --nostrip \
    --no-compress --modules testbed --kver "$release" /boot/initrd
cp "$root/boot/initrd" "$KUBECEPTION_OUTPUT/initrd.cpio"
