//! The image from which all guests are started.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::probe::is_installed;
use crate::{Error, Kind, run};

/// What is in it: what cloud images have, and Docker.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,udev,kmod,cloud-init,openssh-server,sudo,docker.io,iptables,ca-certificates,\
    curl,wget,iproute2,iputils-ping,netbase,net-tools,procps,e2fsprogs,busybox-static,dnsmasq-base,dnsmasq-utils";

/// What QEMU needs besides: a kernel, and what finds the root disk for it.
const KERNEL_PACKAGES: &str = "linux-image-cloud-amd64,initramfs-tools";

/// Makes of the packages what the guests need.
const CUSTOMIZE: &str = include_str!("../guest/customize.sh");

/// Builds on a tmpfs, where the many small writes of packages cost little, and puts the result beside the final place.
/// Arguments: the directory for the tmpfs, the result's place, the script above, the packages, the sources of packages.
const BUILD: &str = include_str!("../guest/build.sh");

/// Makes the disk of a QEMU guest. Arguments: the image's directory.
const DISK: &str = include_str!("../guest/disk.sh");

/// How long the root file system may take to be made, in seconds: package servers may be slow, but somebody waits.
const BUILD_LIMIT: &str = "900";

/// An image: the root file system in `root`; for QEMU the disk, the kernel and its initial file system as well.
#[derive(Clone, Debug)]
pub struct Image {
    directory: PathBuf,
    kind: Kind,
}

impl Image {
    /// An image that is there already.
    pub fn at(directory: impl Into<PathBuf>, kind: Kind) -> Self {
        Self {
            directory: directory.into(),
            kind,
        }
    }

    /// Provides the image, which is built if `cache` has none of the same recipe. That takes about half a minute of a
    /// processor, and the machine's package sources.
    ///
    /// What it is built with is installed if `may_install`, by apt-get.
    ///
    /// # Errors
    ///
    /// If a program is missing or a package cannot be had.
    pub fn provide(cache: &Path, kind: Kind, may_install: bool) -> Result<Self, Error> {
        fs::create_dir_all(cache).map_err(Error::file(cache))?;
        let sources = sources()?;
        let directory = cache.join(recipe(kind, &sources)?);
        let image = Self::at(&directory, kind);
        // One builds, and others wait for it.
        let lock = cache.join(format!("{}.lock", kind.name()));
        let lock = File::create(&lock).map_err(Error::file(&lock))?;
        lock.lock().map_err(Error::file(cache))?;
        if !directory.is_dir() {
            provide_tools(kind, may_install)?;
            image.build(cache, &sources)?;
        }
        Ok(image)
    }

    /// The empty directory in a cache that things are mounted on, where nobody else sees them.
    pub fn scratch_directory(cache: &Path) -> PathBuf {
        cache.join("room")
    }

    /// The cache that it is in.
    pub(crate) fn cache(&self) -> &Path {
        self.directory.parent().unwrap_or(&self.directory)
    }

    fn build(&self, cache: &Path, sources: &[PathBuf]) -> Result<(), Error> {
        let room = Self::scratch_directory(cache);
        let partial = cache.join(format!("{}.partial", self.kind.name()));
        fs::create_dir_all(&room).map_err(Error::file(&room))?;
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(Error::file(&partial))?;
        }
        fs::create_dir(&partial).map_err(Error::file(&partial))?;
        let packages = match self.kind {
            Kind::Namespaces => PACKAGES.to_owned(),
            Kind::Qemu => format!("{PACKAGES},{KERNEL_PACKAGES}"),
        };
        run(Command::new("timeout")
            .args(["--signal=KILL", BUILD_LIMIT, "unshare"])
            .args(["--mount", "--propagation", "private", "--pid", "--fork"])
            .args(["--kill-child=KILL", "--mount-proc", "sh", "-c", BUILD, "sh"])
            .args([&room, &partial])
            .args([CUSTOMIZE, &packages])
            .args(sources))
        .map_err(Error::Image)?;
        if self.kind == Kind::Qemu {
            run(Command::new("sh").args(["-c", DISK, "sh"]).arg(&partial)).map_err(Error::Image)?;
        }
        fs::rename(&partial, &self.directory).map_err(Error::file(&partial))
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The disk of a QEMU guest.
    pub(crate) fn disk(&self) -> PathBuf {
        self.directory.join("disk")
    }

    /// The root file system.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.join("root")
    }
}

/// The machine's package sources: Debian's own list if it is where Debian puts it, or else all.
fn sources() -> Result<Vec<PathBuf>, Error> {
    let directory = Path::new("/etc/apt/sources.list.d");
    let usual = directory.join("debian.sources");
    if usual.is_file() {
        return Ok(vec![usual]);
    }
    let single = PathBuf::from("/etc/apt/sources.list");
    let others = fs::read_dir(directory).into_iter().flatten().flatten();
    let others = others.map(|entry| entry.path()).filter(|path| {
        path.extension()
            .is_some_and(|kind| kind == "list" || kind == "sources")
    });
    let mut all: Vec<_> = others
        .chain([single])
        .filter(|path| path.metadata().is_ok_and(|data| data.len() > 0))
        .collect();
    all.sort();
    match all.is_empty() {
        true => Err(Error::Image("apt has no package sources".to_owned())),
        false => Ok(all),
    }
}

/// What names an image: everything that decides what is in it, but for the versions of packages.
fn recipe(kind: Kind, sources: &[PathBuf]) -> Result<String, Error> {
    let mut hash = Sha256::new();
    for part in [
        kind.name(),
        PACKAGES,
        KERNEL_PACKAGES,
        CUSTOMIZE,
        BUILD,
        DISK,
    ] {
        hash.update(part);
        hash.update([0]);
    }
    for path in sources {
        hash.update(fs::read(path).map_err(Error::file(path))?);
        hash.update([0]);
    }
    let digest: String = hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(format!("{}-{digest}", kind.name()))
}

/// Sees to it that what builds images is there.
fn provide_tools(kind: Kind, may_install: bool) -> Result<(), Error> {
    let mut tools = vec![("mmdebstrap", "mmdebstrap")];
    if kind == Kind::Qemu {
        tools.push(("qemu-system-x86_64", "qemu-system-x86"));
    }
    tools.retain(|(program, _)| !is_installed(program));
    let Some((program, _)) = tools.first() else {
        return Ok(());
    };
    if !may_install {
        return Err(Error::Image(format!(
            "{program} is not installed; REAL_MACHINE_INSTALL=1 has it installed by apt-get"
        )));
    }
    let mut install = Command::new("apt-get");
    install
        .args(["install", "--yes", "--no-install-recommends"])
        .args(tools.iter().map(|(_, package)| package))
        .env("DEBIAN_FRONTEND", "noninteractive");
    // The lists may be missing or old.
    run(&mut install)
        .or_else(|_| {
            run(Command::new("apt-get").arg("update"))?;
            run(&mut install)
        })
        .map(drop)
        .map_err(Error::Image)
}
