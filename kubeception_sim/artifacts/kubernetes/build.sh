#!/bin/bash
# build.sh FOLDER TARGET...: build Kubernetes' programs from Debian's source package in FOLDER, with the apt sources in
# FOLDER/apt/sources.list. Debian has the source of 1.20.2 with everything vendored, and Go to build it with; it ships no
# package of kubelet or API server.
set -euo pipefail
folder=$1
shift
cd "$folder"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 TMPDIR=$folder/tmp
mkdir -p tmp apt/parts apt/lists/partial apt/cache/archives/partial

echo "step: package lists"
# Lists and cache of our own: the host's stay as they are, and need not be ours to write.
apt=(apt-get -q -o "Dir::Etc::sourcelist=$folder/apt/sources.list" -o "Dir::Etc::sourceparts=$folder/apt/parts"
    -o "Dir::State::lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt/cache")
"${apt[@]}" update

echo "step: source"
# apt has compared the files with the signed index; dpkg-source would ask for the developer's key as well.
"${apt[@]}" source --download-only kubernetes
dpkg-source --no-check -x kubernetes_*.dsc source

echo "step: generated code"
cd source
# The vendored reflect2 panics under Go 1.18 and later ("EncodeMap"); Debian's own package of it does not.
rm -rf vendor/github.com/modern-go/reflect2
cp -r /usr/share/gocode/src/github.com/modern-go/reflect2 vendor/github.com/modern-go/reflect2
mkdir -p .go/src/k8s.io
ln -sfn "$PWD" .go/src/k8s.io/kubernetes
cd .go/src/k8s.io/kubernetes
export GOPATH=$folder/source/.go GOCACHE=$folder/gocache GO111MODULE=off GOPROXY=off CGO_ENABLED=0 FORCE_HOST_GO=y
export KUBE_GIT_VERSION=v1.20.2 KUBE_GIT_MAJOR=1 KUBE_GIT_MINOR=20 KUBE_GIT_TREE_STATE=archive
packages=()
for target in "$@"; do
    packages+=("./${target%/*.test}")
done
make generated_files
# How many names -v is going to print.
echo "packages: $(go list -deps "${packages[@]}" | sort -u | wc -l)"
# Unless told otherwise make strips the programs, and leaves out build ids and the path of this folder.
make WHAT="-v $*"
