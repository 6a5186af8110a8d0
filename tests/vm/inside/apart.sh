#!/bin/sh
# Outside of the VM, in namespaces of its own: runs a program in a root file system of which nothing
# is changed. Given are the root, the directory that what is written goes to, one to work in, and
# one to mount on.
set -e
mount -t overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" overlay "$4"
mount -t proc proc "$4/proc"
mount --bind /dev "$4/dev"
merged=$4
shift 4
exec chroot "$merged" "$@"
