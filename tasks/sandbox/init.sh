#!/bin/sh
# Process 1 of a light or rootless host. Started by `unshare` in fresh namespaces.
# Environment: KIND (light, rootless), NAME, HOST_HOME (the host's directory), BASE (light: the root below;
# rootless: what to show read-only, parted by colons), BOOT (a shell line to run in the host once it is up, or empty).
set -eu

read -r pid rest </proc/self/stat # this /proc is still the machine's, so the number is the machine's too
root=$HOST_HOME/root

if [ "$KIND" = light ]; then
    mount -t overlay -o "lowerdir=$BASE,upperdir=$HOST_HOME/up,workdir=$HOST_HOME/work" overlay "$root"
else
    mount --bind "$root" "$root"
    saved=$IFS
    IFS=:
    for path in $BASE; do
        mkdir -p "$root$path"
        mount --rbind "$path" "$root$path"
        mount -o remount,bind,ro "$root$path" || mount -o remount,bind,ro,nosuid,nodev "$root$path"
    done
    IFS=$saved
fi

mount -t proc proc "$root/proc" || mount --rbind /proc "$root/proc"
mount -t tmpfs -o mode=755,size=1m tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/run/lock" "$root/run/sshd"
hostname "$NAME"

mkdir -p "$root/.machine"
cd "$root"
pivot_root . .machine
cd /
umount -l /.machine
ip link set lo up || true

echo "ready $pid"
exec >/dev/null 2>&1
if [ -n "$BOOT" ]; then
    sh -c "$BOOT" &
fi
# A shell that waits also reaps what the host's processes leave behind.
while :; do sleep 2147483; done
