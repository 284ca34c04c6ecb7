#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What is installed can be used: the library by pkg-config, the pages by man. Prints TAP.
# usage: test-install.sh MAKE O
set -u

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
count=0 failed=0

ok() # STATUS WHAT
{
	count=$((count + 1))
	[ "$1" -eq 0 ] || { printf 'not '; failed=$((failed + 1)); }
	echo "ok $count - $2"
}

"$1" -s install O="$2" DESTDIR="$dir" PREFIX=/usr >"$dir/log" 2>&1
ok $? 'make install'

# The .pc file names the prefix; the system root is where DESTDIR put it.
export PKG_CONFIG_PATH="$dir/usr/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$dir"
cat >"$dir/prog.c" <<'END'
#include <errno.h>
#include <mmapdemo.h>
#include <mmapdemo-witness.h>
int main(void)
{
	struct mmapdemo_dev *dev;

	mmapdemo_witness_close(0);
	mmapdemo_ctl_close(0);
	return mmapdemo_open("mmapdemo", 0, &dev) != -ENODEV;
}
END
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
# shellcheck disable=SC2046 # flags are words
${CC:-cc} -Wall -Werror -o "$dir/prog" "$dir/prog.c" $(pkg-config --cflags --libs libmmapdemo)
ok $? 'a program builds against it'
MMAPDEMO_SYSFS=/nonexistent LD_LIBRARY_PATH="$dir/usr/lib" "$dir/prog"
ok $? '... and runs with it'
# Our headers and the kernel's have no name in common, and C++ takes both.
printf '#include <%s>\n' mmapdemo.h mmapdemo-witness.h linux/mmapdemo.h >"$dir/both.c"
printf '#include <%s>\n' linux/mmapdemo.h mmapdemo.h >"$dir/both.cc"
for both in "-x c $dir/both.c" "-x c++ $dir/both.cc"; do
	# shellcheck disable=SC2046,SC2086 # flags are words
	${CC:-cc} -Wall -Wextra -Werror -I../module/uapi $(pkg-config --cflags libmmapdemo) -fsyntax-only $both
	ok $? "headers of the library and of the kernel in one program, ${both%% /*}"
done
pkg-config --print-requires-private libmmapdemo | grep -q libnl-genl-3.0
ok $? 'a static program is told which libraries it needs'
objdump -p "$dir/usr/lib/libmmapdemo.so" | grep -q 'SONAME *libmmapdemo.so.0$'
ok $? 'the SONAME is libmmapdemo.so.0'
! nm -D --defined-only "$dir/usr/lib/libmmapdemo.so" |
	grep -vE ' (T mmapdemo_[a-z_]+@@MMAPDEMO_0|A MMAPDEMO_0)$'
ok $? 'it exports versioned mmapdemo_* and nothing else'
for page in man8/mmapdemo.8 man3/libmmapdemo.3; do
	test -z "$(man --warnings -l -Tutf8 -Z "$dir/usr/share/man/$page" 2>&1 >/dev/null)"
	ok $? "$page formats without a warning"
done
bash -n "$dir/usr/share/bash-completion/completions/mmapdemo"
ok $? 'the completion is valid bash'

echo "1..$count"
exit $((failed > 0))
