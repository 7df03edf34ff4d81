#!/bin/sh
# Before apt downloads: what an earlier build downloaded is lent to this one. $1: root, $KUBECEPTION_PACKAGES: cache.
set -eu
mkdir -p "$1/var/cache/apt/archives"
find "$KUBECEPTION_PACKAGES" -maxdepth 1 -name '*.deb' -exec cp -t "$1/var/cache/apt/archives" -- {} +
# The system is configured as if installed by nobody: no daemon starts, no initrd is built by a kernel package.
mkdir -p "$1/etc/initramfs-tools" "$1/etc/selinux"
# Ignition labels what it writes unless this file says otherwise.
printf 'SELINUX=disabled\nSELINUXTYPE=none\n' > "$1/etc/selinux/config"
