#!/bin/sh
# Install the programs of the operating system that are missing: nft, ip, venv, kubectl, busybox (the tools of pods
# whose image is busybox or alpine). Does nothing, and asks nothing, when all are there.
set -eu
missing=
need() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need nft nftables
need ip iproute2
need curl curl
need busybox busybox
need kubectl kubernetes-client
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
  echo "error: these programs are missing:$missing" >&2
  echo "hint:  install them with this distribution's package manager" >&2
  exit 1
fi
echo "installing$missing …"
log=$(mktemp)
if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1
then
  tail -n 5 "$log" >&2
  echo "error: could not install$missing" >&2
  echo "hint:  apt-get install$missing   (Ubuntu has kubectl as a snap: snap install kubectl --classic)" >&2
  exit 1
fi
rm -f "$log"
