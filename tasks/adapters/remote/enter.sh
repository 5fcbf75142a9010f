# Runs a command on a host in a scope: `sh -c 'eval "$1"' stepmark THIS END ENVIRONMENT SCOPE COMMAND…`; END: end.sh.
#
# Each scope of an environment has a directory, named so that a later one sorts after an earlier. In it each command that
# runs has an empty file PID.START.BOOT: what leads its session, since when, in which boot of the machine.
# It makes its file and then looks for later scopes; the later one makes its directory and then looks for files. So
# whichever way they meet, one of the two sees the other, and no lock is needed.
#
# Ends as COMMAND does; or with 94: a later scope works here; or with 95: an earlier one could not be ended.
# A name that the login's environment exports would reach COMMAND with our value: hence the prefix.
sm_stat() { # fields after the command's name: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    read -r sm_line <"/proc/$1/stat" || return
    set -- ${sm_line##*) }
    sm_group=$3 sm_session=$4 sm_start=${20}
}
sm_session=0 sm_group=$$ sm_start=0 sm_boot=0
{ sm_stat $$ && read -r sm_boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
# Some servers give a command no session of its own, or one that a PID namespace hides.
if [ "$sm_session" != $$ ] && [ "$sm_group" != $$ ] && command -v setsid >/dev/null; then
    exec setsid /bin/sh -c 'eval "$1"' stepmark "$@"
fi

sm_end=$2 sm_scope=$4 sm_place=${HOME:-/}/.stepmark/$3
[ ! -w /run ] || sm_place=/run/stepmark/$3
shift 4
sm_file=$sm_place/$sm_scope/$$.$sm_start.$sm_boot
for sm_again in 1 2 3; do # a later scope clears the directory away
    { [ -d "${sm_file%/*}" ] || (umask 077 && mkdir -p "${sm_file%/*}"); } && true >"$sm_file" && break
done 2>/dev/null
[ -e "$sm_file" ] || echo "stepmark: no later run can end this command: nothing can be written in $sm_place" >&2

sm_older= sm_live=
for sm_other in "$sm_place"/*/; do
    sm_other=${sm_other%/} && sm_other=${sm_other##*/}
    [ -d "$sm_place/$sm_other" ] || continue
    if [ "$sm_other" \> "$sm_scope" ]; then
        rm -f "$sm_file"
        echo "stepmark: refused: a later scope works here, $sm_other in $sm_place" >&2
        exit 94
    fi
    [ "$sm_other" \< "$sm_scope" ] || continue
    sm_older="$sm_older $sm_other"
    for sm_file_there in "$sm_place/$sm_other"/*."$sm_boot"; do
        sm_id=${sm_file_there##*/}
        [ ! -e "$sm_file_there" ] || sm_live="$sm_live ${sm_id%."$sm_boot"} $sm_other"
    done
done
if [ "$sm_live" ]; then
    sm_sudo=
    [ -w /run ] || ! sudo -n true </dev/null >/dev/null 2>&1 || sm_sudo='sudo -n'
    if ! $sm_sudo /bin/sh -c "$sm_end" stepmark $sm_live </dev/null >&2; then
        rm -f "$sm_file"
        exit 95
    fi
fi
for sm_other in $sm_older; do rm -rf "$sm_place/$sm_other"; done

trap : HUP INT QUIT TERM # the command gets them too; we are to outlive it
STEPMARK_SCOPE=$sm_scope "$@"
sm_status=$?
rm -f "$sm_file"
exit $sm_status
