#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The command without a module and against a sysfs tree of the test's own making. Prints TAP.
# usage: test-cli.sh MMAPDEMO
set -u
export LC_ALL=C

mmapdemo=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export MMAPDEMO_SYSFS="$dir/sys"
count=0 failed=0
verbs='add del list stat maps pages zap wrprotect dirty resize punch monitor tour doctor'

ok() # STATUS WHAT
{
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		sed 's/^/# /' "$dir/out" "$dir/err"
		failed=$((failed + 1))
	fi
}

# What it printed is in $dir/out and $dir/err.
exits() # CODE ARGUMENT...
{
	want=$1
	shift
	"$mmapdemo" "$@" >"$dir/out" 2>"$dir/err"
	got=$?
	test $got -eq "$want"
	ok $? "mmapdemo $*: exit $want"
}

says() # FILE PATTERN
{
	grep -q -- "$2" "$dir/$1"
	ok $? "... and std$1 says '$2'"
}

json() # FILTER
{
	jq -e "$1" "$dir/out" >/dev/null 2>&1
	ok $? "... and $1"
}

make_device() # NAME
{
	mkdir -p "$dir/sys/class/mmapdemo/$1/dirty"
	echo ram >"$dir/sys/class/mmapdemo/$1/backing"
	echo 67108864 >"$dir/sys/class/mmapdemo/$1/size"
	echo 5 >"$dir/sys/class/mmapdemo/$1/dirty/pages"
	{
		for name in read write cow mkwrite around huge major retry vma_locked sigbus oom \
			hwpoison injected; do
			echo "faults/$name 7"
		done
		printf 'mappings/live 1\nmappings/total 3\nlater/line x\n'
		for name in read write cow mkwrite; do
			echo "latency/$name 0 0 0 0 0 0 0 0 0 7$(printf ' 0%.0s' $(seq 30))"
		done
	} >"$dir/sys/class/mmapdemo/$1/stat"
}

test_usage()
{
	exits 2
	says err 'Usage: mmapdemo VERB'
	exits 2 nonsense
	says err "no verb 'nonsense'"
	exits 0 --help
	says out 'Usage: mmapdemo VERB'
	exits 0 --version
	says out '^mmapdemo [0-9]'
	for verb in $verbs; do
		exits 0 "$verb" --help
		says out "Usage: mmapdemo $verb"
		says out '--json'
		exits 2 "$verb" --nonsense
		says err "see mmapdemo $verb --help"
		exits 2 "$verb" one two three
		says err "see mmapdemo $verb --help"
		"$mmapdemo" --help | grep -q "^  $verb "
		ok $? "... and is in mmapdemo --help"
	done
	for verb in list stat tour monitor doctor; do
		exits 2 $verb one two
	done
	for verb in del pages zap wrprotect dirty resize punch; do
		exits 2 $verb
		says err "see mmapdemo $verb --help"
	done
	exits 2 stat --watch=0
	exits 2 stat --watch 1x
	says err 'number of seconds'
}

test_no_module()
{
	for verb in list stat tour; do
		exits 3 $verb
		says err 'modprobe mmapdemo'
	done
	exits 3 stat -j mmapdemo1
}

# Not one of these does anything to a device, whether the module is there or not.
test_bad_arguments()
{
	for range in 9-7 7- 7+0 0x1000 7-0x9fff 4M+16 x 7,9 99999999999999999999; do
		exits 2 zap mmapdemo-none "$range"
		exits 2 punch mmapdemo-none "$range"
	done
	exits 2 dirty mmapdemo-none 0x1001-0x1fff
	says err 'does not begin where a page does'
	exits 2 pages mmapdemo-none 0x1000-0x2000
	says err 'does not end where a page does; the last byte of page 1 is 0x1fff'
	for size in x 5X -1 1.5G 16777216T ''; do
		exits 2 resize -- mmapdemo-none "$size"
		exits 2 add --size="$size" ram
	done
	exits 2 resize mmapdemo-none 5X
	says err 'units are K, M, G and T'
	exits 2 add
	exits 2 add disk
	says err 'ram or file'
	exits 2 add ram /etc/passwd
	exits 2 add --fd 3 ram
	exits 2 add file
	exits 2 add --fd 3 file /etc/passwd
	exits 2 add --fd 3x file
	exits 2 add --size 1M file /etc/passwd
	exits 2 add --no-huge file /etc/passwd
	exits 1 add file "$dir"
	says err 'is no regular file'
	exits 1 add file "$dir/none"
	says err "truncate -s 64M $dir/none"
}

# No such device, or no module: 3 either way, with nothing on stdout, also for JSON.
test_absent()
{
	for verb in del pages zap wrprotect dirty 'resize -- mmapdemo-none 4K' 'punch -- mmapdemo-none 0-1'; do
		case $verb in
		*-none*) set -- ;;
		*) set -- mmapdemo-none ;;
		esac
		# shellcheck disable=SC2086 # some are words
		exits 3 $verb "$@"
		says err 'modprobe mmapdemo\|no device mmapdemo-none'
	done
	exits 3 zap -j mmapdemo-none 7-9
	test ! -s "$dir/out"
	ok $? '... and nothing on stdout'
	exits 3 maps mmapdemo-none
	exits 3 zap "$dir/none"
}

test_doctor()
{
	"$mmapdemo" doctor >"$dir/out" 2>"$dir/err"
	got=$?
	test $got -eq 0 || test $got -eq 3
	ok $? "doctor: exit $got"
	says out '^\(ok\|no\)  kernel  *Linux'
	says out '^no  netlink  *control plane'
	says out '^\(ok\|no\)  privilege  *CAP_SYS_ADMIN'
	exits $got doctor -j
	json '.schema == "mmapdemo.doctor/1" and ([.checks[] | .name] | length) == 11'
	json '.usable == ([.checks[] | select(.needed and (.ok | not))] == [])'
	json '[.checks[] | select(.name == "module" or .name == "kernel") | .needed] == [true, true]'
}

test_devices()
{
	make_device mmapdemo
	make_device mmapdemo1
	exits 0 list
	says out '^mmapdemo1 .*67108864 .*1 .*ram'
	exits 0 list -j
	json '.schema == "mmapdemo.list/1" and (.devices | map(.name)) == ["mmapdemo", "mmapdemo1"]'
	exits 0 stat
	says out '^faults/vma_locked  *7$'
	says out '^dirty/pages  *5$'
	says out 'latency/read: p50 <= 1023 ns, p99 <= 1023 ns'
	exits 0 stat -j mmapdemo1
	json '.schema == "mmapdemo.stat/1" and .device == "mmapdemo1"'
	json '.faults.vma_locked == 7 and .mappings == {"live": 1, "total": 3} and .dirty.pages == 5'
	json '.latency.cow.p99 == 1023 and (.latency.cow.buckets | length) == 40'
	exits 3 stat mmapdemo9
	says err 'There are: mmapdemo, mmapdemo1'
	exits 3 stat /dev/null
	says err 'is no node of the module'
	exits 3 tour mmapdemo1
	says err 'does not'
	grep -v faults/cow "$dir/sys/class/mmapdemo/mmapdemo/stat" >"$dir/short"
	cp "$dir/short" "$dir/sys/class/mmapdemo/mmapdemo1/stat"
	exits 1 stat mmapdemo1
	says err 'Protocol error'
}

test_watch()
{
	timeout --preserve-status -s INT 2.5 "$mmapdemo" stat --watch 1 mmapdemo >"$dir/out" 2>"$dir/err"
	ok $? 'watch ends with 0 on Ctrl-C'
	test "$(wc -l <"$dir/out")" -eq 3
	ok $? '... after a header and two lines'
	timeout --preserve-status -s INT 2.5 "$mmapdemo" stat -j -w >"$dir/out" 2>"$dir/err"
	ok $? 'watch -j ends with 0 on Ctrl-C'
	test "$(jq -c 'select(.schema == "mmapdemo.stat/1" and .interval == 1 and .faults.cow == 0)' \
		"$dir/out" | wc -l)" -eq 2 && test "$(wc -l <"$dir/out")" -eq 2
	ok $? '... after two objects, one to a line'
}

test_stdout()
{
	"$mmapdemo" stat >/dev/full 2>"$dir/err"
	test $? -eq 1
	ok $? 'a full disk: exit 1'
	says err 'No space left'
	timeout 10 "$mmapdemo" stat -w 2>"$dir/err" | true
	! test -s "$dir/err"
	ok $? 'a reader that went away ends watch, without a message'
}

test_usage
test_bad_arguments
test_no_module
test_absent
test_doctor
test_devices
test_watch
test_stdout
echo "1..$count"
exit $((failed > 0))
