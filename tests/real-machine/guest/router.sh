# A network's virtual router, run in a network and mount namespace of its own. Arguments: the root file system with
# dnsmasq, the router's directory (reservations are in its `hosts`), the gateway's address, the prefix length, the network's address.
# It tells on standard output that the bridge is there.
set -eu
root=$1 place=$2 gateway=$3 prefix=$4 network=$5
ip link set lo up
# With an address of its own, lest it change with the guests, and what is known of these be forgotten.
ip link add br0 address 02:00:00:00:00:01 type bridge
ip address add "$gateway/$prefix" dev br0
ip link set br0 up
mount --bind "$place" "$root/mnt"
# It is told of a change by this signal, maybe before it listens to signals; what has changed by then it reads anyway.
trap '' HUP
echo ready
exec chroot "$root" /usr/sbin/dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= --port=0 \
	--log-facility=/mnt/log --interface=br0 --bind-interfaces --no-ping --leasefile-ro \
	--dhcp-hostsfile=/mnt/hosts --dhcp-range="$network,static" --dhcp-option=option:router,"$gateway"
