#!/bin/sh
# A failover by hand: what an engineer's shell script does who knows this data centre by heart and no other. It is the rival that
# Understudy is measured against, and, told to leave the fence out, the negative control that the oracle must catch.
#
# It runs inside a lab, with busybox, dnsmasq, tgtadm, curl and understudy-lab in PATH:
#   failover.sh RUN SERVER FROM TO PROOF [DETECT]
# RUN is the run folder, SERVER 1 or 2, FROM and TO machine numbers. PROOF: `none` (no fence at all), `power` (P alone) or
# `storage-network` (S and N). DETECT: `wait` watches until the machine is judged dead by the estate's own windows; `now` begins at once.
# Each step's line tells milliseconds since 1970 and the step's name.
set -eu
RUN=$1 SERVER=$2 FROM=$3 TO=$4 PROOF=$5 DETECT=${6:-now}
NAME=web$SERVER
SERVICE=10.20.0.1$SERVER
TARGET=iqn.2026-01.lab.understudy:$NAME-root
INITIATOR=iqn.2026-01.org.understudy:$NAME.by-hand
TGT="tgtadm -C 7 --lld iscsi"
WEB=$RUN/hand
SETTLE_MS=300 READS=3

ms() { date +%s%3N; }
step() { echo "$(ms) $1"; }
# a BMC, over Redfish; the password never stands in an argument
bmc() {
  machine=$1 method=$2 path=$3; shift 3
  curl -sS -k -m 10 -K "$WEB/curl.conf" -X "$method" -H 'Content-Type: application/json' "$@" "https://10.254.0.1$machine$path"
}
systems() { bmc "$1" GET /redfish/v1/Systems | grep -o '/redfish/v1/Systems/[^"]*' | head -1; }
power() { bmc "$1" GET "$2" | grep -o '"PowerState": *"[A-Za-z]*"' | cut -d'"' -f4; }
# ports of a machine: provisioning, storage, production
port() { echo "p$(( ($1 - 1) * 3 + $2 ))"; }
lab() { understudy-lab "$@"; }
vlan() { lab hand --dir "$RUN" access "$1" "$2"; }
vlan_of() { lab facts --dir "$RUN" | tr -d ' \n' | grep -o "\"$1\":{[^}]*}" | grep -o '"pvid":[0-9]*' | cut -d: -f2; }
# a port is believed when the switch's forwarding state says so
in_vlan() { until [ "$(vlan_of "$1")" = "$2" ]; do :; done; }
answers() { curl -s -m 1 -o /dev/null "http://$SERVICE/healthz"; }

prepare() {
  umask 077
  mkdir -p "$WEB/www"
  printf 'user = "controller:%s"\n' "$(cat "$RUN/secrets/bmc")" > "$WEB/curl.conf"
  SECRET=$(head -c 18 /dev/urandom | base64 | tr -d '/+=')
  cp -f "$RUN/images/vmlinuz" "$RUN/images/server.cpio" "$WEB/www/"
  mac=52:54:00:0c:0$TO
  cat > "$WEB/www/boot.ipxe" <<X
#!ipxe
kernel http://10.10.0.1/vmlinuz initrd=initrd understudy.claim=http://10.10.0.1/claim understudy.mac=$mac:01 understudy.ip=10.10.0.1$SERVER/24 console=ttyS0 quiet panic=-1 mitigations=off
initrd --name initrd http://10.10.0.1/server.cpio
boot
X
  cat > "$WEB/www/claim" <<X
SERVER=$NAME
EPOCH=0
INITIATOR=$INITIATOR
CHAP_USER=$NAME-by-hand
CHAP_PASSWORD=$SECRET
PORTAL=10.30.0.1:3260
TARGET=$TARGET
LUN=1
NIC_PROVISIONING_MAC=$mac:01
NIC_PROVISIONING_ADDRESS=10.10.0.1$SERVER/24
NIC_PRODUCTION_MAC=$mac:03
NIC_PRODUCTION_ADDRESS=$SERVICE/24
NIC_STORAGE_MAC=$mac:02
NIC_STORAGE_ADDRESS=10.30.0.1$SERVER/24
X
  cat > "$WEB/dnsmasq.conf" <<X
port=0
interface=prov
bind-interfaces
except-interface=lo
no-ping
dhcp-authoritative
dhcp-leasefile=$WEB/leases
dhcp-range=10.10.0.100,10.10.0.200,255.255.255.0,1h
dhcp-host=$mac:01,10.10.0.1$SERVER
dhcp-userclass=set:ipxe,iPXE
dhcp-boot=tag:ipxe,http://10.10.0.1/boot.ipxe
log-facility=$RUN/logs/dnsmasq.log
pid-file=$WEB/dnsmasq.pid
user=
group=
enable-ra
dhcp-range=fd00:10::,ra-only,64
X
  dnsmasq -C "$WEB/dnsmasq.conf"
  busybox httpd -p 10.10.0.1:80 -h "$WEB/www"
}

# what the users see, looked at as often as the estate does, beside everything else
watch_service() {
  while :; do
    if answers; then echo yes > "$WEB/service.new"; else echo no > "$WEB/service.new"; fi
    mv "$WEB/service.new" "$WEB/service"
    busybox usleep 500000
  done
}
# the estate's windows: the power is read every second, Off for one second, and the service silent meanwhile
detect() {
  system=$(systems "$FROM")
  watch_service &
  watcher=$!
  off=0
  while [ "$off" -lt 2 ]; do
    sleep 1 &
    pace=$!
    if [ "$(power "$FROM" "$system")" = Off ]; then off=$((off + 1)); else off=0; fi
    if [ "$off" -ge 2 ]; then until [ "$(cat "$WEB/service")" = no ]; do busybox usleep 20000; done; else wait "$pace"; fi
  done
  kill "$watcher"
  step detected
}

fence_power() {
  system=$(systems "$FROM")
  bmc "$FROM" POST "$system/Actions/ComputerSystem.Reset" -d '{"ResetType": "ForceOff"}' > /dev/null
  step power-off-sent
  read=0
  while [ "$read" -lt "$READS" ]; do
    if [ "$(power "$FROM" "$system")" = Off ]; then read=$((read + 1)); else read=0; fi
    [ "$read" -eq "$READS" ] || busybox usleep $((SETTLE_MS * 1000 / (READS - 1)))
  done
  step power-off-proven
}

sessions() { $TGT --mode conn --op show --tid "$1" 2> /dev/null | awk '/Session:/ {print $2}'; }
tid() { $TGT --mode target --op show | awk -v t="$TARGET" '$1 == "Target" && $3 == t {sub(":", "", $2); print $2}'; }

fence_storage() {
  t=$(tid)
  for name in $($TGT --mode target --op show | awk -v t="$TARGET" '$1 == "Target" {on = ($3 == t)} on && /iqn\..*\.e[0-9]+$/ {print $1}' | sort -u); do
    $TGT --mode target --op unbind --tid "$t" --initiator-name "$name" 2> /dev/null || true
  done
  for session in $(sessions "$t"); do
    $TGT --mode conn --op delete --tid "$t" --sid "$session" --cid 0 2> /dev/null || true
  done
  while [ -n "$(sessions "$t")" ]; do :; done
  step storage-revoked
}

fence_network() {
  for place in 1 2 3; do vlan "$(port "$FROM" "$place")" 99; done
  for place in 1 2 3; do in_vlan "$(port "$FROM" "$place")" 99; done
  step network-barred
}

give() {
  t=$(tid)
  $TGT --mode account --op new --user "$NAME-by-hand" --password "$SECRET"
  $TGT --mode account --op bind --tid "$t" --user "$NAME-by-hand"
  $TGT --mode target --op bind --tid "$t" --initiator-name "$INITIATOR"
  step storage-granted
  vlan "$(port "$TO" 1)" 10; vlan "$(port "$TO" 2)" 30; vlan "$(port "$TO" 3)" 20
  in_vlan "$(port "$TO" 1)" 10; in_vlan "$(port "$TO" 2)" 30; in_vlan "$(port "$TO" 3)" 20
  step network-joined
}

start() {
  system=$(systems "$TO")
  bmc "$TO" PATCH "$system" -d '{"Boot": {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe"}}' > /dev/null
  bmc "$TO" POST "$system/Actions/ComputerSystem.Reset" -d '{"ResetType": "On"}' > /dev/null
  step powered-on
}

prepare
step ready
[ "$DETECT" = wait ] && detect
case $PROOF in
  none) ;;
  power) fence_power & fence_storage; wait ;;
  storage-network) fence_storage; fence_network ;;
  *) echo "unknown proof $PROOF" >&2; exit 2 ;;
esac
step fenced
give
start
until answers; do busybox usleep 100000; done
step serves
