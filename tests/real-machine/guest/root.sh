# A guest's process 1 on its way to systemd, in namespaces of its own. Arguments: the template's root file system and the
# guest's directory. HIERARCHIES has a line for each hierarchy of control groups: its name and its mount options.
set -eu
template=$1 guest=$2
root=$guest/root
mount -t overlay -o "lowerdir=$template,upperdir=$guest/upper,workdir=$guest/work" overlay "$root"

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
echo localhost >"$root/proc/sys/kernel/hostname"
# Most settings are the whole machine's: a guest has those of its network.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro,nosuid,nodev,noexec "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,rw,nosuid,nodev,noexec "$root/proc/sys/net"
if [ -e "$root/proc/sysrq-trigger" ]; then
	mount --bind "$root/proc/sysrq-trigger" "$root/proc/sysrq-trigger"
	mount -o remount,bind,ro,nosuid,nodev,noexec "$root/proc/sysrq-trigger"
fi
# Read-only, by which systemd knows that devices are not the guest's to manage.
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"

mount -t tmpfs -o nosuid,mode=755 tmpfs "$root/dev"
for device in null:3 zero:5 full:7 random:8 urandom:9; do
	mknod -m 666 "$root/dev/${device%:*}" c 1 "${device#*:}"
done
mknod -m 666 "$root/dev/tty" c 5 0
for link in fd: stdin:/0 stdout:/1 stderr:/2; do
	ln -s "/proc/self/fd${link#*:}" "$root/dev/${link%:*}"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,nosuid,noexec,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs "$root/run"
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$root/tmp"

if [ "$HIERARCHIES" = unified ]; then
	mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
else
	mount -t tmpfs -o nosuid,nodev,noexec,mode=755 tmpfs "$root/sys/fs/cgroup"
	echo "$HIERARCHIES" | while read -r name options; do
		mkdir "$root/sys/fs/cgroup/$name"
		mount -t cgroup -o "nosuid,nodev,noexec,$options" cgroup "$root/sys/fs/cgroup/$name"
	done
fi

# Docker's layers are an overlay themselves, which does not go on top of one.
mkdir -p "$root/var/lib/docker"
mount --bind "$guest/docker" "$root/var/lib/docker"

cd "$root"
pivot_root . .
umount -l .
# Neither the machine's clock nor its modules and ports are the guest's.
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin container=real-machine \
	setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio /sbin/init </dev/null
