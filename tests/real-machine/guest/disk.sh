# Makes the disk of QEMU guests of an image's root file system, and takes the kernel out. Argument: the image's directory.
set -eu
cd "$1"
cp root/vmlinuz kernel
cp root/initrd.img initrd
truncate --size=6G disk
mkfs.ext4 -q -F -L root -E lazy_itable_init=1,lazy_journal_init=1 -d root disk
