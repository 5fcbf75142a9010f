# Ends what runs on a host in earlier scopes: `sh -c THIS stepmark PID.START SCOPE …`, of each command's session leader.
# Exits 0 when none of it lives any more: TERM, a grace, KILL.
#
# Part of a command is who is in its session, and whoever descends from those, even out of the session, as what sudo
# starts. Who has left the session *and* lost its parent before we first look is a daemon, and none of ours.
grace=3 patience=10

list() { # sets `table`: PID.START:PARENT:SESSION of all that live
    table=
    for place in /proc/[0-9]*; do
        { read -r line <"$place/stat"; } 2>/dev/null || continue
        set -- ${line##*) }
        case $1 in [ZX]) ;; *) table="$table ${place#/proc/}.${20}:$2:$4" ;; esac
    done
}
trust() { # PID.START SCOPE: adds to `sessions` and `ids`
    ids="$ids$1 "
    for row in $table; do
        id=${row%%:*} session=${row##*:}
        [ "$session" = "${1%.*}" ] || continue
        # The number of a leader that is gone may be in use again: then the session is ours if it says so.
        if [ "$id" = "$1" ] || grep -qsF "STEPMARK_SCOPE=$2" "/proc/${id%.*}/environ"; then
            sessions="$sessions$session "
            return
        fi
        [ "${id%.*}" != "${1%.*}" ] || return
    done
}
look() { # sets `found`: their process ids; remembers who they were, for their parents may die before they do
    list
    found=' ' remembered=' ' more=1
    while [ "$more" ]; do
        more=
        for row in $table; do
            id=${row%%:*} parent=${row#*:} session=${row##*:}
            parent=${parent%:*}
            case $remembered in *" $id "*) continue ;; esac
            case "$ids/$sessions/$found" in
            *" $id "*/*/* | */*" $session "*/* | */*/*" $parent "*)
                found="$found${id%.*} " remembered="$remembered$id " more=1
                ;;
            esac
        done
    done
    ids=$remembered
    [ "$found" != ' ' ]
}
now() {
    read -r up _ </proc/uptime
    now=${up%%.*}
}
gone() { # within SECONDS
    now
    last=$((now + $1))
    while look; do
        now
        [ "$now" -lt "$last" ] || return 1
        sleep 0.1 2>/dev/null || sleep 1
    done
}

ids=' ' sessions=' '
list
while [ $# -gt 0 ]; do
    trust "$1" "$2"
    shift 2
done
look || exit 0
echo "stepmark: ending what an earlier run still does here:$found"
kill -s TERM $found 2>/dev/null
kill -s CONT $found 2>/dev/null
gone $grace && exit 0
for again in 1 2 3; do
    kill -s KILL $found 2>/dev/null
    gone $((patience / 3)) && exit 0
done
echo "stepmark: stuck: of an earlier run this does not end:$found"
exit 1
