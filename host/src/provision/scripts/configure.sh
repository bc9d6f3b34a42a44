# Gives the machine its name, and the engine its certificates and its port. What is as it should be stays; the engine is
# restarted only if something was not. $hostname, $port, $ca, $certificate, $key, $arguments, $environment
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
changed=

# put FILE MODE CONTENTS
put() {
  if [ "$(cat "$1" 2>/dev/null)" != "$3" ]; then
    new=$(mktemp "$1.XXXXXX")
    # cat, unlike the shell itself, tells a disk that is full.
    if ! printf '%s\n' "$3" | cat >"$new"; then
      rm -f "$new"
      exit 1
    fi
    chmod "$2" "$new"
    mv -f "$new" "$1"
    changed=yes
  fi
}

if [ "$(hostname)" != "$hostname" ]; then
  hostname "$hostname"
  printf '%s\n' "$hostname" >/etc/hostname
fi
if ! grep -qs "[[:space:]]$hostname\$" /etc/hosts; then
  printf '127.0.1.1 %s\n' "$hostname" >>/etc/hosts
fi

# From Docker 23 on the packages do not make it.
mkdir -p /etc/docker /etc/systemd/system/docker.service.d
put /etc/docker/ca.pem 0644 "$ca"
put /etc/docker/server.pem 0644 "$certificate"
put /etc/docker/server-key.pem 0600 "$key"

# An engine that is started by its socket has to take that over.
socket=unix:///var/run/docker.sock
if systemctl cat docker.socket >/dev/null 2>&1; then
  socket=fd://
fi
dockerd=$(command -v dockerd) || {
  echo "dockerd is not there: what was run to install Docker did not install it" >&2
  exit 1
}
put /etc/systemd/system/docker.service.d/10-machine.conf 0644 "[Service]
ExecStart=
ExecStart=$dockerd -H tcp://0.0.0.0:$port -H $socket --tlsverify --tlscacert /etc/docker/ca.pem --tlscert /etc/docker/server.pem --tlskey /etc/docker/server-key.pem $arguments
Environment=$environment"

if command -v firewall-cmd >/dev/null && firewall-cmd -q --state 2>/dev/null; then
  firewall-cmd -q --add-port="$port/tcp" --permanent
  firewall-cmd -q --add-port="$port/tcp"
fi
if command -v ufw >/dev/null && ufw status 2>/dev/null | grep -q '^Status: active'; then
  ufw allow "$port/tcp" >/dev/null
fi

systemctl daemon-reload
systemctl -q enable docker >/dev/null
if [ -n "$changed" ] || ! systemctl -q is-active docker; then
  # Failures of before must not count.
  systemctl reset-failed docker docker.socket 2>/dev/null || true
  if ! systemctl restart docker >/dev/null 2>&1; then
    echo "the Docker engine does not start:" >&2
    journalctl -u docker -n 8 --no-pager -o cat >&2
    exit 10
  fi
fi
