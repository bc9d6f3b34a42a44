# Installs Docker. $url: whence; $id: the system.
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive
# User data may install packages too, and only one can.
if command -v cloud-init >/dev/null; then
  timeout 600 cloud-init status --wait >/dev/null 2>&1 || true
fi
if ! command -v curl >/dev/null; then
  if command -v apt-get >/dev/null; then
    apt-get -o DPkg::Lock::Timeout=300 update -q >/dev/null
    apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-install-recommends curl ca-certificates >/dev/null
  else
    dnf -q -y install curl >/dev/null
  fi
fi
if [ "$url" = https://get.docker.com ]; then
  case $id in
    almalinux | rocky)
      # The script does not know these two; they run the packages for CentOS of the same version.
      curl -fsSL --retry 3 https://download.docker.com/linux/centos/docker-ce.repo -o /etc/yum.repos.d/docker-ce.repo
      dnf -q -y install docker-ce docker-ce-cli containerd.io >/dev/null
      exit 0
      ;;
  esac
fi
script=$(mktemp)
trap 'rm -f "$script"' EXIT
curl -fsSL --retry 3 "$url" -o "$script"
sh "$script" >/dev/null
