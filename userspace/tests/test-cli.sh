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
	for verb in list stat tour; do
		exits 0 $verb --help
		says out "Usage: mmapdemo $verb"
		exits 2 $verb --nonsense
		says err "see mmapdemo $verb --help"
		exits 2 $verb one two
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
test_no_module
test_devices
test_watch
test_stdout
echo "1..$count"
exit $((failed > 0))
