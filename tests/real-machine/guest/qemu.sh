# A guest in QEMU, run in the network namespace of its network's router. Arguments: the image's directory, the guest's
# directory, the processors, the memory in MiB, the router's end of the guest's cable, the MAC address. The environment says
# which control groups it is in (CGROUPS, lines of directories). Orders to QEMU come on standard input.
set -eu
image=$1 guest=$2 cpus=$3 memory=$4 link=$5 mac=$6
pid=$$
echo "$CGROUPS" | while read -r directory; do
	echo "$pid" >"$directory/cgroup.procs"
done
ip link delete "$link" 2>/dev/null || true
ip tuntap add mode tap name "$link"
ip link set "$link" master br0 up
exec qemu-system-x86_64 -no-user-config -nodefaults -display none -machine q35 -accel tcg,thread=multi -cpu max \
	-smp "$cpus" -m "$memory" -monitor stdio -serial "file:$guest/serial" -device virtio-rng-pci \
	-kernel "$image/kernel" -initrd "$image/initrd" \
	-append 'root=/dev/vda rw console=ttyS0 panic=-1 apparmor=0 mitigations=off net.ifnames=0 quiet' \
	-drive "file=$guest/disk,format=raw,if=virtio,cache=unsafe" \
	-netdev "tap,id=net,ifname=$link,script=no,downscript=no" -device "virtio-net-pci,netdev=net,mac=$mac"
