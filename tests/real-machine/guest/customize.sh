#!/bin/sh
# Makes a template for the cloud of a root file system with Debian's packages: mmdebstrap runs it with the root's path.
set -eu
root=$1

# docker-machine's unit names the path that Docker's own packages have.
ln -sf ../sbin/dockerd "$root/usr/bin/dockerd"
# `docker --version` of 20.10 pings the socket, which would start the old daemon anew between its stop and its start.
mkdir -p "$root/etc/systemd/system/docker.socket.d"
printf '[Unit]\nPartOf=docker.service\n' >"$root/etc/systemd/system/docker.socket.d/with-docker.conf"

# The network is the virtual router's: there is nothing behind it.
mkdir -p "$root/etc/systemd/network"
cat >"$root/etc/systemd/network/10-dhcp.network" <<'END'
[Match]
Name=eth* en*

[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no

[DHCPv4]
UseDNS=no
END
# A name server that nobody answers for would cost sudo seconds at each call.
rm -f "$root/etc/resolv.conf"
echo 'options timeout:1 attempts:1' >"$root/etc/resolv.conf"
# docker-machine runs `apt-get update` first, and installs curl, which is there.
rm -rf "$root/etc/apt/sources.list" "$root/etc/apt/sources.list.d" "$root/etc/apt/auth.conf.d"
mkdir "$root/etc/apt/sources.list.d"
: >"$root/etc/apt/sources.list"

# Key, host name and user data come as on CloudStack.
rm -f "$root/etc/cloud/cloud.cfg.d/90_dpkg.cfg"
cat >"$root/etc/cloud/cloud.cfg.d/90-cloudstack.cfg" <<'END'
datasource_list: [CloudStack, None]
network: {config: disabled}
disable_root: false
locale: false
manage_etc_hosts: false
ssh_genkeytypes: [ed25519]
apt: {preserve_sources_list: true}
# Those that have something to do here: each costs a part of a second at each start, and more in QEMU.
cloud_init_modules: [bootcmd, write-files, set_hostname, update_hostname, users-groups, ssh]
cloud_config_modules: [set-passwords, package-update-upgrade-install, runcmd]
cloud_final_modules: [scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user, final-message]
END

for unit in ssh docker containerd systemd-networkd; do
	chroot "$root" systemctl --quiet enable "$unit.service"
done
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
	systemd-firstboot.service systemd-networkd-wait-online.service systemd-timesyncd.service; do
	ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# Each machine makes its own.
rm -f "$root"/etc/ssh/ssh_host_*_key*
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
