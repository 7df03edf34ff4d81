#!/bin/bash
# unpack.sh ROOT ARCHIVE...: let the containerd of ROOT import and unpack the images, and keep the outcome in
# ROOT/usr/share/kubeception/containerd:
#   state/      databases, manifests and configs: what a node copies into its /var/lib/containerd
#   snapshots/  the unpacked layers, by number: what a node refers to
# Runs in a mount and PID namespace of its own: whatever ends it, no mount and no process stays.
set -euo pipefail
root=$1
shift
work=$root/usr/share/kubeception/build
result=$root/usr/share/kubeception/containerd
mkdir -p "$work" "$result"
mount -t proc proc "$root/proc"
# In memory: the builder's own file system may be an overlay, and unpacking needs one of another kind.
mount -t tmpfs tmpfs "$work"
mkdir "$work"/{archives,state,run,tmp}
for archive in "$@"; do
    : > "$work/archives/${archive##*/}"
    mount --bind "$archive" "$work/archives/${archive##*/}"
done
inside=/usr/share/kubeception/build
cat > "$work/config.toml" << END
version = 2
root = "$inside/state"
state = "$inside/run"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$inside/run/containerd.sock"
END
in_root() { chroot "$root" env TMPDIR="$inside/tmp" PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
ctr() { in_root ctr --address "$inside/run/containerd.sock" --namespace k8s.io "$@"; }

in_root containerd --config "$inside/config.toml" > "$work/log" 2>&1 &
daemon=$!
for ((attempt = 0; ; attempt++)); do
    ctr version > /dev/null 2>&1 && break
    if ((attempt == 300)) || ! kill -0 "$daemon"; then
        echo "containerd does not answer:" >&2
        tail -n 20 "$work/log" >&2
        exit 1
    fi
    sleep 0.1
done
for archive in "$@"; do
    ctr images import "$inside/archives/${archive##*/}" >&2
done
# The packed layers are never needed again, and would double the size. All else in there is JSON.
layers=()
for blob in "$work"/state/io.containerd.content.v1.content/blobs/sha256/*; do
    [[ $(head -c 1 "$blob" | tr -d '\0') == "{" ]] || layers+=("sha256:${blob##*/}")
done
ctr content rm "${layers[@]}" > /dev/null
ctr images ls -q > "$result/images"
kill "$daemon"
wait "$daemon" || true

snapshots=io.containerd.snapshotter.v1.overlayfs/snapshots
cp -a "$work/state/$snapshots" "$result/snapshots"
rm -r "$work/state/$snapshots"
cp -a "$work/state" "$result/state"
mkdir "$result/state/$snapshots"
