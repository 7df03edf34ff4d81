#!/bin/bash
# Build Kubernetes' programs from Debian's source package in the folder $1; the rest of the arguments are make targets.
# Debian has the source of 1.20.2 with everything vendored, and Go to build it with; it ships no package of kubelet or API server.
set -euo pipefail
folder=$1
shift
cd "$folder"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

echo "step: package lists"
# The mirrors that this host uses already, asked for sources: lists of our own, so that the host's stay as they are.
mkdir -p apt/lists/partial apt/sources.list.d
apt-get indextargets --format 'deb-src [$(SIGNED)] $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
    grep ' bookworm' | sort -u >apt/indexes || true
python3 - apt/indexes >apt/sources.list <<'PYTHON'
import sys
rows = {tuple(line.split("] ", 1)[1].split()) for line in open(sys.argv[1]) if "] " in line}
wanted = sorted(row for row in rows if len(row) == 3 and row[2] == "main")
for uri, suite, part in wanted or [("http://deb.debian.org/debian", "bookworm", "main")]:
    print(f"deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {uri} {suite} {part}")
PYTHON
apt=(-q -o "Dir::Etc::sourcelist=$PWD/apt/sources.list" -o "Dir::Etc::sourceparts=$PWD/apt/sources.list.d" -o "Dir::State::lists=$PWD/apt/lists")
apt-get "${apt[@]}" update

echo "step: source"
apt-get "${apt[@]}" source --download-only kubernetes
dpkg-source --no-check -x kubernetes_*.dsc source

echo "step: build"
cd source
# The vendored reflect2 panics under Go 1.18 and later; Debian's own package of it does not.
rm -rf vendor/github.com/modern-go/reflect2
cp -r /usr/share/gocode/src/github.com/modern-go/reflect2 vendor/github.com/modern-go/reflect2
mkdir -p .go/src/k8s.io
ln -sfn "$PWD" .go/src/k8s.io/kubernetes
cd .go/src/k8s.io/kubernetes
export GOPATH="$folder/source/.go" GOCACHE="$folder/gocache" GO111MODULE=off GOPROXY=off CGO_ENABLED=0 FORCE_HOST_GO=y
export KUBE_GIT_VERSION=v1.20.2 KUBE_GIT_MAJOR=1 KUBE_GIT_MINOR=20 KUBE_GIT_TREE_STATE=archive
make GOLDFLAGS="-s -w" WHAT="$*"
