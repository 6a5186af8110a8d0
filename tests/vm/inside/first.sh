#!/bin/busybox sh
# The initramfs: finds the disks, then hands over to the root file system.
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sysfs /sys
$B mount -t devtmpfs devtmpfs /dev
for module in $($B cat /modules/order); do $B insmod /modules/$module; done
$B mount -t ext4 -o rw,noatime,nobarrier /dev/vda /mnt || $B poweroff -f
$B mount -t ext4 -o ro /dev/vdb /mnt/usr/lib/modules || $B poweroff -f
$B mkdir -p /mnt/var/log/holdfast-tests
# What is written there is read from outside, also when this machine dies a moment later.
$B mount -t ext4 -o rw,sync /dev/vdc /mnt/var/log/holdfast-tests || $B poweroff -f
$B mount -t tmpfs -o mode=755 tmpfs /mnt/run
$B cp -r /holdfast-vm /mnt/run/
$B mount --move /proc /mnt/proc
$B mount --move /sys /mnt/sys
$B mount --move /dev /mnt/dev
first=/run/holdfast-vm/init.sh
case " $($B cat /mnt/proc/cmdline) " in
*" holdfast.systemd "*)
	first=/sbin/init
	$B mkdir -p /mnt/run/systemd/system/multi-user.target.wants
	$B cp /holdfast-vm/guest.service /mnt/run/systemd/system/
	$B ln -s ../guest.service /mnt/run/systemd/system/multi-user.target.wants/
	;;
esac
exec $B switch_root /mnt $first
