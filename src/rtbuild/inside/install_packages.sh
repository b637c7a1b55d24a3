#!/bin/sh
# Installs Debian packages into the root it runs in, with dpkg and the packages' own maintainer scripts.
# Runs inside BuildKit without a network. /rtbuild holds the inputs, read-only:
#   thin/*.deb   packages whose files are in the root already, without the content of these files
#   whole/*.deb  packages whose files are not
#   steps        what dpkg does: `thin` or `whole` and packages to unpack, or `configure` and options, a step a line
#   groups       groups to create: name:gid
#   users        accounts to create: name:uid:gid:home:shell:groups
#   copies       files to copy once everything is installed: from, to, mode, uid and gid, each on a line of its own
#   sources      where apt finds packages in the image: example, path, mode, uid and gid, each on a line
#   suites       what these list: archive suite components
#   epoch        the newest package's date, in seconds since 1970
#   python       the interpreter whose standard library came with these packages, if one did
# Whatever makes two runs differ is fixed here or removed from the layer by the recipe's `remove` rules.
set -eu
umask 022
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C.UTF-8 TZ=UTC HOME=/root
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
# perl's and python's hash order can reach the files that maintainer scripts write
export PERL_HASH_SEED=0 PERL_PERTURB_KEYS=0 PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1

# For scripts that date what they make (reproducible-builds.org/specs/source-date-epoch)
SOURCE_DATE_EPOCH=$(cat /rtbuild/epoch)
export SOURCE_DATE_EPOCH

# The layer's times are cut at the epoch: what is made now must not look older than that.
if [ "$(date +%s)" -lt "$(cat /rtbuild/epoch)" ]; then
    echo "the clock of this machine is behind the newest package ($(date -d "@$(cat /rtbuild/epoch)")): set it" >&2
    exit 1
fi

# No maintainer script may start a service in a build (Debian Policy 9.3.3.2).
policy=/usr/sbin/policy-rc.d
[ -e $policy ] && policy=
[ -z "$policy" ] || { mkdir -p /usr/sbin; printf '#!/bin/sh\nexit 101\n' > $policy; chmod 755 $policy; }

cd /rtbuild
# The layer is written once and thrown away on failure: no need to wait for the disk after each file.
dpkg="dpkg --force-unsafe-io"
if [ ! -e /var/lib/dpkg/status ]; then
    mkdir -p /var/lib/dpkg/info /var/lib/dpkg/updates
    : > /var/lib/dpkg/status
    : > /var/lib/dpkg/available
    # maintainer scripts call awk before mawk's own alternative is set up
    [ -e /usr/bin/awk ] || ln -s mawk /usr/bin/awk
fi
# shellcheck disable=SC2086 # a line of `steps` is a list of words
while read -r step words <&3; do
    case $step in
    # The files of thin packages are there; dpkg writes those of /etc, which users may have edited.
    thin) $dpkg --force-depends --path-exclude='/*' --path-include='/etc/*' --unpack $words 3<&- ;;
    whole) $dpkg --force-depends --unpack $words 3<&- ;;
    configure) $dpkg $words --configure --pending 3<&- ;;
    esac
done 3< /rtbuild/steps
[ -z "$policy" ] || rm -f "$policy"

while IFS=: read -r name gid; do
    groupadd --gid "$gid" "$name"
done < /rtbuild/groups

while IFS=: read -r name uid gid home shell groups; do
    useradd --no-log-init --no-create-home --uid "$uid" --gid "$gid" --home-dir "$home" --shell "$shell" \
        ${groups:+--groups "$groups"} "$name"
done < /rtbuild/users

while IFS= read -r from && IFS= read -r to && read -r mode && read -r uid && read -r gid; do
    cp "$from" "$to"
    chmod "$mode" "$to"
    chown "$uid:$gid" "$to"
done < /rtbuild/copies

# The example in Debian's own package of apt has the address of the archive `debian`; the others are beside it.
while IFS= read -r example && IFS= read -r path && read -r mode && read -r uid && read -r gid; do
    archives=$(sed -n -E '/^#/d; s,^.*[[:space:]]([a-z]+://[^[:space:]]*)/debian/?([[:space:]].*)?$,\1,p' "$example")
    archives=${archives%%
*}
    [ -n "$archives" ] || { echo "$example has no address of the archive debian" >&2; exit 1; }
    # From Debian 13 on, apt trusts the archive's keys only where a source names them.
    options=
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    ls /etc/apt/trusted.gpg.d/debian-archive-* > /dev/null 2>&1 || [ ! -e $keys ] || options="[signed-by=$keys] "
    while read -r archive suite components; do
        echo "deb $options$archives/$archive $suite $components"
    done < /rtbuild/suites > "$path"
    chmod "$mode" "$path"
    chown "$uid:$gid" "$path"
done < /rtbuild/sources

# The last-change day of a password would be today's (shadow 4.8 does not know SOURCE_DATE_EPOCH); empty means no ageing.
[ ! -e /etc/shadow ] || sed -i -E 's/^([^:]*:[^:]*):[0-9]*:/\1::/' /etc/shadow

# What Debian's python packages compiled at configure time differs from run to run: it is compiled again.
if [ -s /rtbuild/python ]; then
    find / -xdev -name __pycache__ -type d -prune -exec rm -rf {} +
    # not -I: it would ignore PYTHONHASHSEED
    "$(cat /rtbuild/python)" -s -S -B /rtbuild/compile_stdlib.py "$(cat /rtbuild/epoch)" /usr/lib/python3*
fi

# A package left half configured is a broken image: --audit prints what is wrong.
audit=$(dpkg --audit)
[ -z "$audit" ] || { printf '%s\n' "$audit" >&2; exit 1; }
