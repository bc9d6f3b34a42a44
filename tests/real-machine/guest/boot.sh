# A guest's start, run in a network namespace of its own. Arguments: the script for its other namespaces, then what that
# one wants. The environment says which control groups it is in (CGROUPS, lines of directories), and which network cards
# it has (NICS, lines of the router's process, the router's end, and the MAC address).
set -eu
pid=$$
echo "$CGROUPS" | while read -r directory; do
	echo "$pid" >"$directory/cgroup.procs"
done
ip link set lo up
number=0
echo "$NICS" | while read -r router link mac; do
	at_router="nsenter --net=/proc/$router/ns/net"
	# The kernel takes its time to remove the cable of a guest that has just ended.
	$at_router ip link delete "$link" 2>/dev/null || true
	$at_router ip link add "$link" type veth peer name "eth$number" address "$mac" netns "$pid"
	$at_router ip link set "$link" master br0 up
	number=$((number + 1))
done
exec unshare --mount --propagation private --pid --uts --ipc --cgroup --fork --kill-child=KILL sh "$@"
