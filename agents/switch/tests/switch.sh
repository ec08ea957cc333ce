#!/bin/sh
# A switch of its own: a file a port in the folder $SWITCH, "up native tagged mtu frames learnt". Its driver speaks schema 1 (docs/drivers.md).
# $MANNER makes a bad driver of it.
cd "$SWITCH" || exit 1
field() { printf '%s' "$line" | sed -n "s/.*\"$1\":\(\[[^]]*\]\|\"[^\"]*\"\|[^,}]*\).*/\1/p"; }
word() { field "$1" | tr -d '"'; }
say() { printf '{"id":%s,%s}\n' "$id" "$1"; }
no() { say "\"error\":\"$1\",\"reason\":\"$2\""; }
keep() { [ "$MANNER" = idle ] || echo "$@" >"$port.new" && mv "$port.new" "$port" 2>/dev/null; }

echo '{"understudy-driver":1,"kind":"switch"}'
while read -r line; do
    id=$(field id) port=$(word port) from=$(word port)
    [ "$MANNER" = any-port ] && [ ! -f "$port" ] && from=p1
    [ "$MANNER" = stale ] && [ -f "stale-$port" ] && from=stale-$port
    if [ ! -f "$from" ]; then
        no rejected "there is no port $port"
        continue
    fi
    read -r up native tagged mtu frames learnt <"$from"
    case $(word do) in
    read)
        [ "$MANNER" = stale ] && cp "$port" "stale-$port"
        say "\"answer\":{\"port\":\"$port\",\"native\":$native,\"tagged\":$tagged,\"mtu\":$mtu,\"leaks\":false,\"admin_up\":$up,\
\"link_up\":true,\"learnt\":$learnt,\"frames_in\":$frames,\"saved\":${SAVED:-true}}"
        ;;
    set)
        [ "$MANNER" = slow ] && sleep 60
        was=$native native=$(field native) tagged=$(field tagged)
        [ "$(field mtu)" = null ] || mtu=$(field mtu)
        [ "$MANNER" = adds ] && [ "$was" != "$native" ] && [ "$tagged" = '[]' ] && [ "$was" != null ] && tagged="[$was]"
        [ "$MANNER" = no-trunks ] && [ "$tagged" != '[]' ] && no rejected "no trunks here" && continue
        [ "$MANNER" = half-trunks ] && [ "$tagged" != '[]' ] && keep true 4000 '[]' "$mtu" "$frames" '[]' && no rejected "no trunks here" && continue
        [ "$MANNER" = keeps-learnt ] || learnt='[]'
        [ "$MANNER" = stays-down ] && up=false || up=true
        keep "$up" "$native" "$tagged" "$mtu" "$frames" "$learnt"
        for other in p1 p2; do
            [ "$MANNER" = both ] && [ "$other" != "$port" ] && cp "$port" "$other"
        done
        [ "$MANNER" = dies ] && exit 1
        say '"answer":{}'
        ;;
    shut)
        keep false "$native" "$tagged" "$mtu" "$frames" '[]'
        say '"answer":{}'
        ;;
    *) no rejected "schema 1 does not know this" ;;
    esac
done
