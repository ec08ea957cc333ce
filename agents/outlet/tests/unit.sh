#!/bin/sh
# A power distribution unit of its own: a file an outlet in the folder $UNIT, "relay on-return". Its driver speaks schema 1 (docs/drivers.md).
# $MANNER makes a bad driver, or a poor unit, of it.
cd "$UNIT" || exit 1
field() { printf '%s' "$line" | sed -n "s/.*\"$1\":\([^,}]*\).*/\1/p" | tr -d '"'; }
say() { printf '{"id":%s,%s}\n' "$id" "$1"; }
serial='"U-7"'
[ "$MANNER" = nameless ] && serial=null
[ "$MANNER" = another ] && serial='"U-8"'

echo '{"understudy-driver":1,"kind":"outlets"}'
while read -r line; do
    id=$(field id) outlet=$(field outlet) what=$(field do)
    echo "$what" >>asked
    if [ ! -f "$outlet" ]; then
        [ "$what" = read ] || echo "$what" >>lost
        say "\"answer\":{\"outlet\":$outlet,\"serial\":$serial,\"there\":false,\"relay\":\"unknown\",\"watts\":null,\"on_return\":\"unknown\"}"
        continue
    fi
    read -r relay return <"$outlet"
    [ "$relay" = on ] && watts=240 || watts=0
    [ "$MANNER" = no-meter ] && watts=null
    [ "$MANNER" = other-load ] && watts=240
    case $what in
    read)
        [ "$MANNER" = next ] && outlet=$((outlet + 1))
        say "\"answer\":{\"outlet\":$outlet,\"serial\":$serial,\"there\":true,\"relay\":\"$relay\",\"watts\":$watts,\"on_return\":\"$return\"}"
        continue
        ;;
    off) [ "$MANNER" = idle ] || relay=off ;;
    on) relay=on ;;
    stay-off) [ "$MANNER" = forgets ] || return=stays-off ;;
    return) return=turns-on ;;
    esac
    echo "$relay $return" >"$outlet.new" && mv "$outlet.new" "$outlet"
    [ "$MANNER" = neighbour ] && cp "$outlet" 3
    say '"answer":{}'
done
